"""A PostgreSQL of its own in one folder: made and run by PostgreSQL's programs, reached by a socket and no port."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from runner.errors import BadValue, MissingPackage
from runner.processes.service import Service

NAME = "PostgreSQL"
DEBIAN = Path("/usr/lib/postgresql")
"""Debian keeps each version in a folder of its own outside of PATH."""
ACCOUNT = "postgres"
"""The user that PostgreSQL's packages make for its servers, which refuse to run as root."""
USER, DATABASE, NUMBER = "mlflow", "postgres", 5432
SOCKET = f".s.PGSQL.{NUMBER}"
LONGEST_SOCKET = 107  # bytes, by Linux
READ_S = 5.0


def uri(data: Path) -> str:
    """Returns the address of the database of a running server with this data."""
    return f"postgresql://{USER}@/{DATABASE}?host={quote(os.fsencode(data), safe='')}&port={NUMBER}"


def service(data: Path, log: Path) -> Service:
    """Returns the server of a folder, whose data are made if there are none.

    Only its owner (and root) may enter that folder, so the socket in it needs no password. Raises BadValue and
    MissingPackage.
    """
    if len(os.fsencode(data / SOCKET)) > LONGEST_SOCKET:
        raise BadValue(f"the path {data} is too long for PostgreSQL's socket: choose a shorter one with --data")
    if "," in str(data):
        raise BadValue(f"PostgreSQL would read {data} as two paths: choose one without a comma with --data")
    programs = _programs(data)
    account = _account()
    if not data.exists():
        _make(data, programs, account)
    options = {"listen_addresses": "", "unix_socket_directories": str(data), "port": str(NUMBER)}
    settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    command = [str(programs / "postgres"), "-D", str(data), *settings]
    return Service(NAME, command, os.environ, data.parent, log, signal.SIGINT, account)


def answers(data: Path) -> bool:
    """Returns whether the server of this folder takes connections."""
    # without a user, the server's log would have an error for the account of this process
    whom = ["-h", str(data), "-p", str(NUMBER), "-U", USER, "-d", DATABASE]
    command = [str(_programs(data) / "pg_isready"), "-q", *whom]
    return subprocess.run(command, check=False).returncode == 0


def _account() -> str | None:
    """Returns the user that PostgreSQL runs as; None for the user of this process."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(ACCOUNT).pw_name
    except KeyError as error:
        raise BadValue(
            f"PostgreSQL refuses to run as root, and there is no user {ACCOUNT}: use another user"
        ) from error


def _programs(data: Path) -> Path:
    """Returns the folder with the programs of the version that made the data; without data, of the newest version."""
    installed = dict(_installed())
    if not installed:
        raise MissingPackage(
            "PostgreSQL is not installed: `apt-get install postgresql` on Debian and Ubuntu, `dnf install "
            "postgresql-server` on Fedora, or put the folder of its programs into PATH"
        )
    version = _made_by(data) if data.exists() else max(installed)
    if version not in installed:
        others = " and ".join(map(str, sorted(installed)))
        raise BadValue(
            f"{data} was made by PostgreSQL {version}, and installed is {others}: install {version}, too, or convert "
            "the data with pg_upgrade"
        )
    return installed[version]


def _made_by(data: Path) -> int:
    """Returns the version that made the data. Raises BadValue for a folder without data, and OSError."""
    try:
        return _major((data / "PG_VERSION").read_text(errors="replace"))
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise BadValue(
            f"{data} has no data of PostgreSQL, whose file PG_VERSION names their version: move it away, or choose "
            "another folder with --data"
        ) from error


def _installed() -> Iterator[tuple[int, Path]]:
    """Yields the major versions that are installed, each with the folder of its programs. Debian's take precedence."""
    found = shutil.which("initdb")
    for folder in (*([] if found is None else [Path(found).resolve().parent]), *DEBIAN.glob("*/bin")):
        if all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres", "pg_isready")):
            said = subprocess.run(
                [str(folder / "postgres"), "--version"], capture_output=True, text=True, timeout=READ_S, check=True
            ).stdout
            yield _major(said.split()[2]), folder


def _major(version: str) -> int:
    """Returns 15 for `15.4`, `15beta1` or a PG_VERSION of `15`."""
    return int(re.split(r"\D", version.strip())[0])


def _make(data: Path, programs: Path, account: str | None) -> None:
    """Makes the data of a new server, whole or not at all. Raises BadValue."""
    unfinished = data.with_name(f"{data.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if account is not None:
        shutil.chown(unfinished, account)
    options = ["-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale"]
    made = subprocess.run(
        [str(programs / "initdb"), "-D", str(unfinished), *options],
        user=account, cwd=unfinished.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        cause = (made.stderr.strip().splitlines() or ["no output"])[-1]
        reader = "" if account is None else f", which the user {account} must be able to enter"
        raise BadValue(f"PostgreSQL cannot make its data ({cause}): choose another folder with --data{reader}")
    unfinished.rename(data)
