"""Numbered SQL, forward only, and what applies it."""

from framework.storage.migrations.apply import SchemaState, migrate, schema_state

__all__ = ["SchemaState", "migrate", "schema_state"]
