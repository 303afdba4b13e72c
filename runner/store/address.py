"""Address of the store: its URI, the URI without secrets, the experiment's name and the path of its lock."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from runner.cell.cell import short_hash
from runner.errors import BadValue
from runner.processes.parentwatch import PARENT_PID_VARIABLE
from runner.redaction import credentials

SQLITE = "sqlite:///"
DEFAULT_URI = f"{SQLITE}mlflow.db"
DEFAULT_EXPERIMENT = "decode-floor"
WORDS = ("databricks", "databricks-uc", "uc")
"""URIs of stores that are one word."""
NOT_UTF8 = "surrogateescape"
"""Error handler that keeps bytes of a path that are not UTF-8, here inside a URI."""

_DATABASE = re.compile(
    r"(?P<kind>\w+)(?:\+\w+)?://(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?(?P<host>[^/?]*)"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
"""Parts of a URI as SQLAlchemy parses it (`sqlalchemy.engine.url`), which MLflow uses."""
_HOST_IN_DATABASE = re.compile(r"@[^/@]*(?:/|:\d+$)")
"""Host inside the database's name, which a password with an @ and a / causes."""
_YES = ("true", "yes", "on", "y", "t", "1")  # SQLAlchemy's true values of a boolean parameter


def tracking_uri() -> str:
    """Returns MLFLOW_TRACKING_URI, or the URI of an SQLite file in the working folder.

    `mlflow run` starts the command in the project's folder. A relative file is resolved in the folder where `mlflow
    run` was called, as MLflow itself does.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    file, mlflow_folder = sqlite_file(uri), _folder_of_mlflow()
    _, mark, query = uri.partition("?")
    if file is None or file.is_absolute() or mlflow_folder is None or "uri" in dict(parse_qsl(query)):
        return uri
    return f"{SQLITE}{quote(str(mlflow_folder / file), errors=NOT_UTF8)}{mark}{query}"


def _folder_of_mlflow() -> Path | None:
    """Returns the folder where `mlflow run` was called; None without `mlflow run`, or if its process has ended."""
    pid = os.environ.get(PARENT_PID_VARIABLE, "") if os.environ.get("MLFLOW_RUN_ID") else ""
    with suppress(OSError):
        return Path(os.readlink(f"/proc/{pid}/cwd")) if pid.isdecimal() else None
    return None


def experiment_name() -> str:
    """Returns MLFLOW_EXPERIMENT_NAME, or `decode-floor`. If MLFLOW_EXPERIMENT_ID is set, it takes precedence."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT


def is_experiment_chosen() -> bool:
    """Returns whether the environment names the experiment."""
    return any(map(os.environ.get, ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")))


def masked_uri(uri: str) -> str:
    """Returns the URI without secrets, see `credentials.masked_uri`."""
    return credentials.masked_uri(uri)


def without_secrets(text: str, uri: str) -> str:
    """Returns `text` without the URI's secrets, see `credentials.masked`."""
    return credentials.masked(text, uri)


def sqlite_file(uri: str) -> Path | None:
    """Returns the file that SQLAlchemy opens for an SQLite URI, percent-decoded and without the query.

    Returns None for any other kind of store and for a database in memory. Raises BadValue for a name that no file can
    have.
    """
    match = _DATABASE.fullmatch(uri)
    if match is None or match["kind"] != "sqlite" or match["host"]:
        return None
    path = unquote(match["database"] or "", errors=NOT_UTF8)
    options = dict(parse_qsl(match["query"] or ""))
    if "\0" in path:
        raise BadValue(f"{masked_uri(uri)}: the name of a file cannot contain %00: remove it")
    if options.get("uri", "").lower() in _YES and path.startswith("file:"):
        parts = _split(path, uri)
        path = "" if options.get("mode") == "memory" else unquote(parts.path, errors=NOT_UTF8)
    return None if path in ("", ":memory:") else Path(path)


def for_mlflow(uri: str) -> str:
    """Returns the URI to pass to MLflow.

    MLflow creates the parent folder of an SQLite file without percent-decoding its name, unless the URI names the
    driver. The URI with an encoded name therefore gets the driver.
    """
    return f"sqlite+pysqlite{uri[len('sqlite') :]}" if uri.startswith(SQLITE) and "%" in uri else uri


def libpq_uri(uri: str) -> str:
    """Returns SQLAlchemy's PostgreSQL URI in the form that libpq reads: percent-encoded, and with each `+` of the query
    written as an encoded space."""
    match = _DATABASE.fullmatch(uri)
    if match is None:
        return uri
    user, password = (None if match[name] is None else _encoded(unquote(match[name])) for name in ("user", "password"))
    userinfo = "" if user is None else f"{user}@" if password is None else f"{user}:{password}@"
    query = "&".join(f"{name}={_encoded(value)}" for name, value in parse_qsl(match["query"] or ""))
    database = _encoded(unquote(match["database"] or ""))
    return f"postgresql://{userinfo}{match['host']}/{database}{'?' if query else ''}{query}"


def _encoded(text: str) -> str:
    return quote(text, safe="", errors=NOT_UTF8)


def is_server(uri: str) -> bool:
    """Returns whether the store is a server, which may have to be started."""
    return "://" in uri and not uri.startswith(("sqlite", "file"))


def check_is_uri(uri: str) -> None:
    """Raises BadValue for the path of a file or a word of no store, which MLflow would use as a folder of runs.

    Accepts the path of a folder, which MLflow checks.
    """
    path = Path(uri)
    if ":" in uri or uri in WORDS or path.is_dir():
        return
    if path.is_file() or path.suffix or "/" in uri:
        raise BadValue(f"{uri} is a path, not the URI of an MLflow store: did you mean {SQLITE}{uri}?")
    raise BadValue(f"{uri!r} is not the URI of an MLflow store: name {SQLITE}FILE, postgresql://… or http://HOST:PORT")


def check_password(uri: str) -> None:
    """Raises BadValue if a library would parse a part of the password as the host and print it in its error."""
    encode = "write it percent-encoded (@ as %40, : as %3A, / as %2F, ? as %3F, # as %23)"
    match = _DATABASE.fullmatch(uri)
    host = "" if match is None else match["host"]
    is_cut = match is not None and ("@" in host or (host and _HOST_IN_DATABASE.search(match["database"] or "")))
    if match is not None and match["kind"] in credentials.DATABASES and is_cut:
        raise BadValue(f"the password in {masked_uri(uri)} contains an @: {encode}")
    if uri.startswith(("http://", "https://")) and "@" in uri and _has_no_port(uri):
        raise BadValue(f"the password in {masked_uri(uri)} contains a / or ? or #: {encode}")


def _has_no_port(uri: str) -> bool:
    """Returns whether a web client would parse something other than a number as the port."""
    authority = _split(uri, uri).netloc.rpartition("@")[2]
    return bool(re.search(r":(?!\d*$)", authority.rpartition("]")[2]))


def _split(text: str, uri: str) -> SplitResult:
    """Returns the parts of a URI, or of a part of it. Raises BadValue for brackets that hold no IPv6 address."""
    try:
        return urlsplit(text)
    except ValueError as error:
        raise BadValue(f"{masked_uri(uri)} is not a URI ({error}): correct its brackets") from error


def identity(uri: str) -> str:
    """Returns one text without secrets for all spellings of a store's URI. Locks and caches are named after it."""
    file = sqlite_file(uri)
    if file is not None:
        return os.path.realpath(file)
    scheme, separator, rest = masked_uri(uri).partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest.rstrip('/')}"


def lock_path(uri: str) -> Path:
    """Returns the path of the store's lock: beside an SQLite file, for any other store in the temporary folder."""
    if sqlite_file(uri) is not None:
        return Path(f"{identity(uri)}.lock")
    return Path(tempfile.gettempdir()) / f"decode-floor-{os.getuid()}-{short_hash(identity(uri), 12)}.lock"
