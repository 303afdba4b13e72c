"""Exclusive connection to the store. Every failure becomes an error of one line."""

from __future__ import annotations

import errno
import logging
import os
import shlex
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import BadRecord, DecodeFloorError, DiskFull, MissingPackage, StoreUnreachable
from runner.processes import signals
from runner.store import address, artifacts, lock, newstore
from runner.store.look import before, database, refusals, schema, spelling
from runner.store.look.seen import Away

if TYPE_CHECKING:
    from mlflow import MlflowClient

# By default MLflow retries a server that does not answer for four minutes and sends telemetry, and PostgreSQL waits
# for a lock without limit.
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "PGCONNECT_TIMEOUT": "10",
    "PGOPTIONS": "-c lock_timeout=10s",
}
NOISY_LOGGERS = ("alembic", "mlflow.store.db.utils", "mlflow.store.tracking")
"""Loggers that print a traceback for a failure that is also raised."""
PROGRAMMING_ERRORS = (AssertionError, AttributeError, LookupError, NameError, TypeError)
FULL_DISK_WORDS = ("database or disk is full", "no space left on device", "disk quota exceeded", "disk full")
CAUSE_LENGTH = 300


@contextmanager
def opened(spooled: Path | None = None, uri: str | None = None) -> Iterator[MlflowClient]:
    """Yields a client of the store at `uri` (default: the environment's) and holds the store's lock meanwhile.

    A store that does not exist is created. `spooled` is the file of the record to be stored, for the message. Raises
    StoreUnreachable, DiskFull or MissingPackage, each with one line without passwords.
    """
    uri = uri or address.tracking_uri()
    before.check_usable(uri)
    _set_defaults()
    with _one_line_errors(uri, spooled):
        make = _client_class()  # before the lock, since the import takes seconds
        with lock.held(uri):
            _check_database(uri, only_read=False)
            newstore.make(uri)
            client = _client(make, uri)
            artifacts.correct_places(uri)
            yield client


def before_measuring(run_id: str | None) -> str | None:
    """Checks that the store can take a session, as `look.before.check`.

    Returns a message if a server does not answer now: the session is then kept in the spool. Returns None otherwise.
    Raises the errors of `opened`, and BadValue.
    """
    uri = address.tracking_uri()
    _set_defaults()
    try:
        with _one_line_errors(uri, None):
            before.check(uri, run_id)
    except Away as away:
        return str(away)
    return None


def check_accepts_records(spooled: Path) -> None:
    """Raises the errors of `opened` for a store that cannot take any record."""
    uri = address.tracking_uri()
    _set_defaults()
    with _one_line_errors(uri, spooled):
        before.check(uri, None)


@contextmanager
def reading(uri: str) -> Iterator[MlflowClient]:
    """Yields a client for reading an existing store, without its lock.

    Raises BadRecord for a database that is not an MLflow store, BadValue for a file's path, and the errors of
    `one_line_read_errors`.
    """
    spelling.check(uri)
    _set_defaults()
    with one_line_read_errors(uri):
        _check_database(uri, only_read=True)
        yield _client(_client_class(), uri)


@contextmanager
def one_line_read_errors(uri: str) -> Iterator[None]:
    """Converts a failure to read a store into StoreUnreachable or MissingPackage with one line.

    Programming errors propagate unchanged.
    """
    try:
        yield
    except (DecodeFloorError, *PROGRAMMING_ERRORS):
        raise
    except ModuleNotFoundError as error:
        raise MissingPackage(_missing_text(error, uri, None)) from error
    except Exception as error:
        cause = address.without_secrets(_cause(error), uri)
        if database.is_locked(cause):
            raise StoreUnreachable(f"{database.locked_text(uri)}, then run the command again") from error
        start = "start it, or " if address.is_server(uri) else ""
        advice = refusals.remedy(cause) or f"{start}name another in {refusals.URI}"
        raise StoreUnreachable(
            f"the MLflow store {address.masked_uri(uri)} cannot be read ({cause}): {advice}"
        ) from error


def _set_defaults() -> None:
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def _client_class() -> type[MlflowClient]:
    """Imports MLflow and returns its client class. An instance creates a database that does not exist yet."""
    # MLflow could not close the run after a signal interrupted its import
    with signals.held():
        from mlflow import MlflowClient

    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return MlflowClient


def _client(make: type[MlflowClient], uri: str) -> MlflowClient:
    # the first client of a database imports MLflow's store and maps its tables, which fails for good if interrupted
    with signals.held(), artifacts.default_root_beside(uri):
        return make(tracking_uri=address.for_mlflow(uri))


def _check_database(uri: str, only_read: bool) -> None:
    """Connects to a database and checks its schema before MLflow does. Raises as `schema.check`.

    MLflow retries a database that does not answer ten times, for 100 s. It also creates missing tables and migrates
    older ones.
    """
    if database.is_database(uri):
        with database.opened(uri) as tables:
            if tables is not None:
                tables.check_schema(only_read)
            elif only_read:
                raise BadRecord(schema.no_store_text(address.masked_uri(uri), is_empty=True))


@contextmanager
def _one_line_errors(uri: str, spooled: Path | None) -> Iterator[None]:
    try:
        yield
    except DecodeFloorError as error:
        if (advised := _with_import_advice(error, spooled)) is error:
            raise
        raise advised from error
    except ModuleNotFoundError as error:
        raise MissingPackage(_missing_text(error, uri, spooled)) from error
    except Exception as error:
        # MLflow, SQLAlchemy, urllib3, requests, database drivers and boto have exceptions of their own
        raise _store_error(error, uri, spooled) from error


def _store_error(error: Exception, uri: str, spooled: Path | None) -> DecodeFloorError:
    if _is_full_disk(error):
        return DiskFull(f"no space left for the MLflow store {address.masked_uri(uri)}: free some, {_then(spooled)}")
    cause = address.without_secrets(_cause(error), uri)
    if database.is_locked(cause):
        return StoreUnreachable(f"{database.locked_text(uri)}, {_then(spooled)}")
    if (advice := refusals.remedy(cause)) is None:
        fault = _store_fault(uri)
        if fault is not None and not isinstance(fault, Away):
            return _with_import_advice(fault, spooled)
        first_step = "start that store" if fault or database.is_away(cause) else "correct that"
        advice = f"{first_step}, or set MLFLOW_TRACKING_URI to another"
    return StoreUnreachable(f"the MLflow store {address.masked_uri(uri)} failed ({cause}): {advice}, {_then(spooled)}")


def _store_fault(uri: str) -> DecodeFloorError | None:
    """Returns the error of a check of the store, which is more precise than MLflow's; None if the check finds none."""
    try:
        before.check(uri, None)
    except DecodeFloorError as fault:
        return fault
    except Exception:
        return None
    return None


def _with_import_advice(error: DecodeFloorError, spooled: Path | None) -> DecodeFloorError:
    """Returns the error, with advice to import the record if one is in the spool."""
    if spooled is None or not isinstance(error, StoreUnreachable):
        return error
    return type(error)(f"{error}, {_then(spooled)}")


def _missing_text(error: ModuleNotFoundError, uri: str, spooled: Path | None) -> str:
    return (
        f"the MLflow store {address.masked_uri(uri)} needs a package that is not installed here ({error}): "
        f"install it, or use an environment that has it, {_then(spooled)}"
    )


def _then(spooled: Path | None) -> str:
    if spooled is None:
        return "then run the command again"
    return f"then `python -m runner import {shlex.quote(str(spooled.parent))}` (the record is safe there)"


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _is_full_disk(error: Exception) -> bool:
    for link in _chain(error):
        if isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(words in str(link).lower() for words in FULL_DISK_WORDS):
            return True
    return False


def _cause(error: Exception) -> str:
    """Returns the root of the chain if a connection failed (`Connection refused`), else the outermost message."""
    from sqlalchemy.exc import DBAPIError

    chain = list(_chain(error))
    is_connection = any(isinstance(link, OSError | DBAPIError) for link in chain)
    text = str(chain[-1] if is_connection else error).strip() or type(error).__name__
    first, *more = text.splitlines()
    # libpq's first line has no cause if the host has several addresses
    return textwrap.shorten(text if more and first.endswith(":") else first, CAUSE_LENGTH, placeholder=" …")
