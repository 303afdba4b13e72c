"""Where the store is: its URI, what of it may be shown, the experiment's name and the lock that guards it."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from runner.cell.cell import short_hash
from runner.errors import BadValue
from runner.processes.parentwatch import PARENT_PID_VARIABLE
from runner.redaction import credentials

SQLITE = "sqlite:///"
DEFAULT_URI = f"{SQLITE}mlflow.db"
DEFAULT_EXPERIMENT = "decode-floor"
NOT_UTF8 = "surrogateescape"
"""How Python keeps what is no UTF-8 in a path, here inside of a URI."""

_DATABASE = re.compile(
    r"(?P<kind>\w+)(?:\+\w+)?://(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?(?P<host>[^/?]*)"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
"""As SQLAlchemy cuts a URI (its `engine.url`), which MLflow leaves that to."""
_HOST_BEHIND = re.compile(r"@[^/@]*(?:/|:\d+$)")
"""In the name of a database: rather the host, behind a password that has an @ and a / in it."""
_YES = ("true", "yes", "on", "y", "t", "1")  # as SQLAlchemy reads a parameter that is one or the other


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or an SQLite file in the working folder. MLflow starts a project's command in the project's
    folder: a relative file is in the folder where `mlflow run` was called, as it was for MLflow itself."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    file, called_in = sqlite_file(uri), _folder_of_mlflow()
    _, mark, query = uri.partition("?")
    if file is None or file.is_absolute() or called_in is None or "uri" in dict(parse_qsl(query)):
        return uri
    return f"{SQLITE}{quote(str(called_in / file), errors=NOT_UTF8)}{mark}{query}"


def _folder_of_mlflow() -> Path | None:
    """Where `mlflow run` was called; None where no MLproject started us, or MLflow is gone."""
    pid = os.environ.get(PARENT_PID_VARIABLE, "") if os.environ.get("MLFLOW_RUN_ID") else ""
    with suppress(OSError):
        return Path(os.readlink(f"/proc/{pid}/cwd")) if pid.isdecimal() else None
    return None


def experiment_name() -> str:
    """MLFLOW_EXPERIMENT_NAME, or `decode-floor`. MLFLOW_EXPERIMENT_ID, where set, goes before both."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT


def is_experiment_chosen() -> bool:
    """Does the environment say into which experiment?"""
    return any(map(os.environ.get, ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")))


def shown(uri: str) -> str:
    """The URI as it may be printed, see `credentials.shown`."""
    return credentials.shown(uri)


def without_secrets(text: str, uri: str) -> str:
    """`text` without the URI's secrets, see `credentials.masked`."""
    return credentials.masked(text, uri)


def sqlite_file(uri: str) -> Path | None:
    """The file behind an SQLite URI as SQLAlchemy opens it (percent-encoding undone, the query apart); None for every
    other kind of store, and for a database in memory."""
    match = _DATABASE.fullmatch(uri)
    if match is None or match["kind"] != "sqlite" or match["host"]:
        return None
    path = unquote(match["database"] or "", errors=NOT_UTF8)
    options = dict(parse_qsl(match["query"] or ""))
    if options.get("uri", "").lower() in _YES and path.startswith("file:"):
        parts = urlsplit(path)
        path = "" if options.get("mode") == "memory" else unquote(parts.path, errors=NOT_UTF8)
    return None if path in ("", ":memory:") else Path(path)


def for_mlflow(uri: str) -> str:
    """The URI that MLflow is given. It makes a folder by the name that stands in front of an SQLite file, encoded or
    not, save where the URI names the driver."""
    return f"sqlite+pysqlite{uri[len('sqlite') :]}" if uri.startswith(SQLITE) and "%" in uri else uri


def libpq_uri(uri: str) -> str:
    """A PostgreSQL URI as PostgreSQL's own library reads it: what SQLAlchemy leaves to the eye is encoded, what it
    decodes (`+`) is written out."""
    match = _DATABASE.fullmatch(uri)
    if match is None:
        return uri
    user, password = (None if match[name] is None else _encoded(unquote(match[name])) for name in ("user", "password"))
    userinfo = "" if user is None else f"{user}@" if password is None else f"{user}:{password}@"
    query = "&".join(f"{name}={_encoded(value)}" for name, value in parse_qsl(match["query"] or ""))
    database = _encoded(unquote(match["database"] or ""))
    return f"postgresql://{userinfo}{match['host']}/{database}{'?' if query else ''}{query}"


def _encoded(text: str) -> str:
    return quote(text, safe="")


def is_server(uri: str) -> bool:
    """Is it something that somebody may have to start?"""
    return "://" in uri and not uri.startswith(("sqlite", "file"))


def check_is_uri(uri: str) -> None:
    """Raises BadValue for the path of a file, which MLflow takes for a folder of runs, and says which URI was meant. A
    folder, and a word such as `databricks`, are MLflow's to judge."""
    path = Path(uri)
    if ":" not in uri and not path.is_dir() and (path.is_file() or path.suffix or "/" in uri):
        raise BadValue(f"{uri} is a path, not the URI of an MLflow store: did you mean {SQLITE}{uri}?")


def check_password(uri: str) -> None:
    """Raises BadValue where the libraries would take a part of the password for the host: they complain of that part,
    to everybody who reads the line."""
    encode = "write it percent-encoded (@ as %40, : as %3A, / as %2F, ? as %3F, # as %23)"
    match = _DATABASE.fullmatch(uri)
    host = "" if match is None else match["host"]
    is_cut = match is not None and ("@" in host or (host and _HOST_BEHIND.search(match["database"] or "")))
    if match is not None and match["kind"] in credentials.DATABASES and is_cut:
        raise BadValue(f"the password in {shown(uri)} has an @ in it: {encode}")
    if uri.startswith(("http://", "https://")) and "@" in uri and _has_no_port(uri):
        raise BadValue(f"the password in {shown(uri)} has a / or ? or # in it: {encode}")


def _has_no_port(uri: str) -> bool:
    """Does the web read something as the port that is no number?"""
    authority = urlsplit(uri).netloc.rpartition("@")[2]
    return bool(re.search(r":(?!\d*$)", authority.rpartition("]")[2]))


def identity(uri: str) -> str:
    """One text for one store, however its URI is spelled, and no secret in it: what a lock and a cache are named by."""
    file = sqlite_file(uri)
    if file is not None:
        return os.path.realpath(file)
    scheme, separator, rest = shown(uri).partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest.rstrip('/')}"


def lock_path(uri: str) -> Path:
    """Beside an SQLite file, where all who share the file find it; for a server in the temporary folder."""
    if sqlite_file(uri) is not None:
        return Path(f"{identity(uri)}.lock")
    return Path(tempfile.gettempdir()) / f"decode-floor-{os.getuid()}-{short_hash(identity(uri), 12)}.lock"
