"""YAML → a validated definition; pure: no database, no LangGraph."""
