"""Tests that need a PostgreSQL or real processes."""
