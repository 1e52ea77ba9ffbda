"""A definition becomes a compiled LangGraph graph; opens no connection."""
