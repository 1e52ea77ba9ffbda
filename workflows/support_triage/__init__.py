"""A plain LangGraph graph, run by Holdfast without a change to it."""
