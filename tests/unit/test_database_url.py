"""Addresses of databases, as people have them, and the masking of their passwords."""

from __future__ import annotations

import pytest

from framework.database_url import mask, normalise
from framework.errors import DatabaseUrlInvalid


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgresql://u:p@h:5432/d", "postgresql://u:p@h:5432/d"),
        ("postgres://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql+asyncpg://u:p@h/d?sslmode=require", "postgresql://u:p@h/d?sslmode=require"),
        ("postgresql+psycopg2://u@h/d", "postgresql://u@h/d"),
        ("postgresql+psycopg://u@h/d", "postgresql://u@h/d"),
        ("PostgreSQL://h/d", "postgresql://h/d"),
        (" postgresql://h/d\n", "postgresql://h/d"),
        ("postgresql:///d?host=/run/postgresql", "postgresql:///d?host=/run/postgresql"),
        ("postgresql://?host=/run/postgresql", "postgresql://?host=/run/postgresql"),
        ("postgresql://%2Frun%2Fpostgresql/d", "postgresql://%2Frun%2Fpostgresql/d"),
        ("postgresql://a:1,b:2/d", "postgresql://a:1,b:2/d"),
        ("postgresql://u:p%40x@[::1]:5432/d", "postgresql://u:p%40x@[::1]:5432/d"),
    ],
)
def test_every_usual_form_is_understood(given: str, expected: str):
    assert normalise(given) == expected


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("", "does not begin"),
        ("localhost:5432/d", "does not begin"),
        ("mysql://u:secret@h/d", "does not begin"),
        ("postgresql+pg8000://u:secret@h/d", "does not begin"),
        ("postgresql://", "neither a host nor a database"),
        ("postgresql://u:secret@h:port/d", "not a host with a port"),
        ("postgresql://u:secret@h:70000/d", "not a port"),
        ("postgresql://u:secret@h:0/d", "not a port"),
        ("postgresql://u:sec@ret@h/d", "%40"),
        ("postgresql://u:sec/ret@h/d", "%2F"),
        ("postgresql://u:secret#@h/d", "%23"),
        ("postgresql://u:secret%@h/d", "%25"),
        ("postgresql://u:secret@h/my db", "space"),
    ],
)
def test_anything_else_is_refused_without_its_password(given: str, reason: str):
    with pytest.raises(DatabaseUrlInvalid, match=reason) as caught:
        normalise(given)

    assert "sec" not in caught.value.message.replace("***", "")
    assert "postgresql://user:password@host:5432/database" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at postgresql://u:secret@h/d now", "at postgresql://u:***@h/d now"),
        ("redis://:secret@h", "redis://:***@h"),
        ("postgresql://u:se@cr:et@h/d", "postgresql://u:***@h/d"),
        ("https://h:8080/p and a@b", "https://h:8080/p and a@b"),
        ("host=h password=secret user=u", "host=h password=*** user=u"),
        ("password='se \\' cret' user=u", "password=*** user=u"),
        ("postgresql://h/d?password=secret&x=1", "postgresql://h/d?password=***&x=1"),
        ("PGPASSWORD=secret", "PGPASSWORD=***"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_a_password_is_masked_wherever_it_stands(text: str, expected: str):
    assert mask(text) == expected
