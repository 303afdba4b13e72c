"""One exclusive conversation with the store; whatever goes wrong in it becomes one line for the terminal."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import DecodeFloorError, DiskFull, MissingPackage, StoreUnreachable
from runner.machine import signals
from runner.store import address

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow left to itself keeps a caller waiting for four minutes when a server is away, and reports usage home.
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "PGCONNECT_TIMEOUT": "10",
}
NOISY_LOGGERS = ("alembic", "mlflow.store.db.utils", "mlflow.store.tracking")
OUR_MISTAKES = (AssertionError, AttributeError, LookupError, NameError, TypeError)
FULL_DISK_WORDS = ("database or disk is full", "no space left on device", "disk quota exceeded", "disk full")
CAUSE_LENGTH = 300


@contextmanager
def opened(spooled: Path | None = None, uri: str | None = None) -> Iterator[MlflowClient]:
    """A client of the store (of the environment's, unless `uri` names another), made if it does not exist yet and held
    under its lock.

    `spooled` is the file of the record that is to be stored, for the message. Raises StoreUnreachable,
    DiskFull or MissingPackage, each in one line without passwords.
    """
    uri = uri or address.tracking_uri()
    with _one_line_errors(uri, spooled), address.locked(uri):
        # MLflow cut off by a signal in the middle of its import could not be used to close the run
        with signals.held():
            client = _client(uri)
        yield client


@contextmanager
def reading(uri: str) -> Iterator[MlflowClient]:
    """A client of a store that is only read: it must exist, and no lock is taken. Raises as `one_line_read_errors`."""
    with one_line_read_errors(uri):
        yield _client(uri)


@contextmanager
def one_line_read_errors(uri: str) -> Iterator[None]:
    """Whatever is wrong with a store that is read, in one line: StoreUnreachable or MissingPackage. What only a mistake
    of ours can raise is no fault of the store."""
    try:
        yield
    except (DecodeFloorError, *OUR_MISTAKES):
        raise
    except ModuleNotFoundError as error:
        raise MissingPackage(_missing_text(error, uri, None)) from error
    except Exception as error:
        cause = address.without_secrets(_cause(error), uri)
        raise StoreUnreachable(
            f"the MLflow store {address.shown(uri)} cannot be read ({cause}): start it, or name another with --store "
            "or MLFLOW_TRACKING_URI"
        ) from error


def _client(uri: str) -> MlflowClient:
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    _check_database(uri)
    return MlflowClient(tracking_uri=uri)


def _check_database(uri: str) -> None:
    """Connect once ourselves: MLflow tries a database that does not answer ten times over, for 100 s."""
    from mlflow.store.db.db_types import DATABASE_ENGINES

    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme not in DATABASE_ENGINES:
        return
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    sqlalchemy.inspect(engine).get_table_names()


@contextmanager
def _one_line_errors(uri: str, spooled: Path | None) -> Iterator[None]:
    try:
        yield
    except DecodeFloorError:
        raise
    except ModuleNotFoundError as error:
        raise MissingPackage(_missing_text(error, uri, spooled)) from error
    except Exception as error:
        # MLflow, SQLAlchemy, urllib3, requests, the database drivers and boto each bring their own
        raise _store_error(error, uri, spooled) from error


def _store_error(error: Exception, uri: str, spooled: Path | None) -> DecodeFloorError:
    if _is_full_disk(error):
        return DiskFull(f"no space left for the MLflow store {address.shown(uri)}: free some, {_then(spooled)}")
    cause = address.without_secrets(_cause(error), uri)
    return StoreUnreachable(
        f"the MLflow store {address.shown(uri)} did not take it ({cause}): start that store or set "
        f"MLFLOW_TRACKING_URI, {_then(spooled)}"
    )


def _missing_text(error: ModuleNotFoundError, uri: str, spooled: Path | None) -> str:
    return (
        f"the MLflow store {address.shown(uri)} needs a package that is not installed here ({error}): "
        f"install it, or go where it is, {_then(spooled)}"
    )


def _then(spooled: Path | None) -> str:
    if spooled is None:
        return "then run the command again"
    return f"then `python -m runner import {spooled.parent}` (the record is safe there)"


def _chain(error: BaseException) -> Iterator[BaseException]:
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__ or following.__context__


def _is_full_disk(error: Exception) -> bool:
    for link in _chain(error):
        if isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(words in str(link).lower() for words in FULL_DISK_WORDS):
            return True
    return False


def _cause(error: Exception) -> str:
    """The root of the chain where the line failed (`Connection refused`), else the outermost message."""
    from sqlalchemy.exc import DBAPIError

    chain = list(_chain(error))
    broken_line = any(isinstance(link, OSError | DBAPIError) for link in chain)
    text = str(chain[-1] if broken_line else error).strip() or type(error).__name__
    return text.splitlines()[0][:CAUSE_LENGTH]
