"""Which PostgreSQL is in use: the one that settings name, otherwise a private one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, urlencode

from framework.database_url import mask, normalise
from framework.errors import EmbeddedPostgresError, SettingsError
from framework.settings import PostgresSettings, Settings

if TYPE_CHECKING:
    from framework.storage.embedded import EmbeddedServer


@dataclass(frozen=True, slots=True)
class Server:
    """The database that this process uses.

    `url` may hold a password: print `display`. `admin_url` and `data_dir` are
    known for an embedded server only.
    """

    url: str
    kind: Literal["embedded", "external"]
    display: str
    admin_url: str | None = None
    data_dir: Path | None = None

    def revive(self) -> None:
        """Start the embedded server again if it died; call it before connecting anew.

        Costs about a millisecond when it runs. Does nothing for an external
        server, which somebody else looks after.

        Raises:
            EmbeddedPostgresError: It cannot be started.
        """
        if self.data_dir is not None:
            _embedded(self.data_dir)


def resolve_server(settings: Settings) -> Server:
    """Return the database in use, an embedded one started if it did not run.

    `postgres.url` (where DATABASE_URL ends up) goes before `postgres.host`, and
    either before the embedded server. Nothing is tried in turn: a server that is
    named and does not answer is an error later, never a reason to write elsewhere.

    Raises:
        DatabaseUrlInvalid: The address is not one.
        EmbeddedPostgresError: The private server does not start.
        SettingsError: No server is named, and the embedded one is turned off.
    """
    named = named_server(settings.durability.postgres)
    if named is not None:
        return named
    server = _embedded(embedded_data_dir(settings))
    return Server(
        url=server.url,
        kind="embedded",
        display=f"embedded PostgreSQL {server.version} in {server.data_dir}",
        admin_url=server.admin_url,
        data_dir=server.data_dir,
    )


def named_server(postgres: PostgresSettings) -> Server | None:
    """Return the server that settings name, or None where the embedded one is meant.

    Raises:
        DatabaseUrlInvalid: The address is not one.
        SettingsError: No server is named, and the embedded one is turned off.
    """
    if postgres.url:
        url = normalise(postgres.url)
    elif postgres.host:
        url = normalise(_url_from_parts(postgres, postgres.host))
    elif postgres.embedded:
        return None
    else:
        raise SettingsError(
            "No database is configured: postgres.embedded is false, and no server is named.",
            hint="Set DATABASE_URL, postgres.url or postgres.host, or postgres.embedded to true.",
        )
    return Server(url=url, kind="external", display=mask(url))


def embedded_data_dir(settings: Settings) -> Path:
    """Return where the embedded server's data is asked to lie; a relative path starts at the project."""
    return settings.root / settings.durability.postgres.data_dir.expanduser()


def _embedded(data_dir: Path) -> EmbeddedServer:
    try:
        # Here, as it needs fcntl, and a DATABASE_URL should work without.
        from framework.storage.embedded import start_embedded
    except ModuleNotFoundError as error:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL does not work on this system ({error}).",
            hint="Set DATABASE_URL to a server; on Windows, WSL works too.",
        ) from error
    return start_embedded(data_dir)


def _url_from_parts(postgres: PostgresSettings, host: str) -> str:
    """Join host, port, user, password and database; a host that begins with / is a socket's folder."""
    user = quote(postgres.user, safe="")
    if postgres.password is not None:
        user += f":{quote(postgres.password, safe='')}"
    database = quote(postgres.database, safe="")
    if host.startswith("/"):
        return f"postgresql://{user}@/{database}?{urlencode({'host': host, 'port': postgres.port})}"
    place = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"postgresql://{user}@{place}:{postgres.port}/{database}"
