"""Failure as configuration: a scenario file makes any node fail, hang, or kill its process."""
