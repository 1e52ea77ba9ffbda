"""Drafts a report and revises it until it is good enough: a loop with a bound."""
