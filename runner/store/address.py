"""Where the store is: its URI, what of it may be shown, the experiment's name and the lock that guards it."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner import plainfile
from runner.cell import short_hash
from runner.errors import BadValue

SQLITE = "sqlite:///"
DEFAULT_URI = f"{SQLITE}mlflow.db"
DEFAULT_EXPERIMENT = "decode-floor"

_USER_PASSWORD = re.compile(r"(?<=://)([^:@/]*):(.*)@")
_QUERY_PASSWORD = re.compile(r"(?i)([?&](?:password|passwd|pwd|token)=)([^&\s]*)")


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or an SQLite file in the working folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def experiment_name() -> str:
    """MLFLOW_EXPERIMENT_NAME, or `decode-floor`. MLFLOW_EXPERIMENT_ID, where set, goes before both."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT


def shown(uri: str) -> str:
    """The URI as it may be printed: every password in it replaced by ***."""
    return _QUERY_PASSWORD.sub(r"\1***", _USER_PASSWORD.sub(r"\1:***@", uri))


def without_secrets(text: str, uri: str) -> str:
    """`text` with the URI and its passwords replaced by what may be printed."""
    secrets = [match.group(2) for match in (_USER_PASSWORD.search(uri), _QUERY_PASSWORD.search(uri)) if match]
    text = text.replace(uri, shown(uri))
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text


def sqlite_file(uri: str) -> Path | None:
    """The file behind an SQLite URI, None for every other kind of store."""
    scheme, separator, path = uri.partition(":///")
    if not separator or not scheme.startswith("sqlite"):
        return None
    return Path(path.partition("?")[0])


def is_server(uri: str) -> bool:
    """Is it something that somebody may have to start?"""
    return "://" in uri and not uri.startswith(("sqlite", "file"))


def check_is_uri(uri: str) -> None:
    """Raises BadValue for the path of a file, which MLflow takes for a folder of runs, and says which URI was meant. A
    folder, and a word such as `databricks`, are MLflow's to judge."""
    path = Path(uri)
    if ":" not in uri and not path.is_dir() and (path.is_file() or path.suffix or "/" in uri):
        raise BadValue(f"{uri} is a path, not the URI of an MLflow store: did you mean {SQLITE}{uri}?")


def lock_path(uri: str) -> Path:
    """Beside an SQLite file, where all who share the file find it; for a server in the temporary folder."""
    file = sqlite_file(uri)
    if file is not None:
        return file.with_name(f"{file.name}.lock")
    return Path(tempfile.gettempdir()) / f"decode-floor-{os.getuid()}-{short_hash(uri, 12)}.lock"


@contextmanager
def locked(uri: str) -> Iterator[None]:
    """Hold the store alone; the kernel frees it when the holder dies. Raises OSError.

    MLflow's migrations fail when several processes make one store; to find or create a run takes two calls.
    """
    path = lock_path(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    with plainfile.opened_lock(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
