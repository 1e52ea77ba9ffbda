"""PostgreSQL addresses as people have them in their environment, and the masking of passwords."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from framework.errors import DatabaseUrlInvalid

EXPECTED = (
    "expected postgresql://user:password@host:5432/database, or postgresql:///database?host=/socket/folder"
)

_DRIVERS = ("+asyncpg", "+psycopg2", "+psycopg")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\[\]:]*)(?::(\d*))?")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

_URL_PASSWORD = re.compile(r"(\b[a-z][\w+.-]*://[^\s:/@]*:)\S*@", re.IGNORECASE)
_NAMED_PASSWORD = re.compile(
    r"(\b\w*(?:password|passwd)=)(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s&\"']+)", re.IGNORECASE
)


def normalise(url: str) -> str:
    """Return the address in the form that libpq reads: `postgresql://…`, without a driver's name.

    Raises:
        DatabaseUrlInvalid: Not an address of a PostgreSQL; says what was
            expected, with the password masked.
    """
    text = url.strip()
    scheme, separator, rest = text.partition("://")
    name = scheme.lower()
    for driver in _DRIVERS:
        name = name.removesuffix(driver)
    if not separator or name not in {"postgresql", "postgres"}:
        raise _invalid(text, "it does not begin with postgresql://")
    if re.search(r"[\s\x00-\x1f\x7f]", text):
        raise _invalid(text, "it holds a space or a control character")
    if _BAD_ESCAPE.search(rest):
        raise _invalid(text, "a % is not followed by two hexadecimal digits; a % itself is written %25")
    _check_parts(text, rest)
    return f"postgresql://{rest}"


def _check_parts(text: str, rest: str) -> None:
    authority, _, query = rest.partition("?")
    authority, _, database = authority.partition("/")
    user, _, hosts = authority.rpartition("@")
    if "@" in user or "@" in database or "#" in rest:
        raise _invalid(text, "@ / ? # inside a user name or password are written %40 %2F %3F %23")
    if not hosts and not database and "host=" not in query:
        raise _invalid(text, "it names neither a host nor a database")
    for host in hosts.split(","):
        found = _HOST.fullmatch(host)
        if not found:
            raise _invalid(text, f"{host!r} is not a host with a port")
        if found[1] and not 1 <= int(found[1]) <= 65535:
            raise _invalid(text, f"{found[1]} is not a port, which is 1 to 65535")
    try:
        urlsplit(f"postgresql://{rest}")
    except ValueError as problem:
        raise _invalid(text, str(problem)) from None


def _invalid(text: str, reason: str) -> DatabaseUrlInvalid:
    shown = mask(text) if len(text) <= 200 else mask(text)[:200] + "…"
    return DatabaseUrlInvalid(f"{shown!r} is not the address of a PostgreSQL: {reason}.", hint=EXPECTED)


def mask(text: str) -> str:
    """Replace every password that an address, or a `password=`, in this text holds.

    Rather too much than too little: a password may itself hold an @ or a quote.
    """
    return _NAMED_PASSWORD.sub(r"\1***", _URL_PASSWORD.sub(r"\1***@", text))
