"""One exclusive conversation with the store; whatever goes wrong in it becomes one line for the terminal."""

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
from runner.store import address, artifacts, lock
from runner.store.look import before, database, refusals, schema, spelling
from runner.store.look.seen import Away

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow left to itself keeps a caller waiting for four minutes when a server is away, and reports usage home. And
# PostgreSQL waits for another program's lock without an end.
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "PGCONNECT_TIMEOUT": "10",
    "PGOPTIONS": "-c lock_timeout=10s",
}
NOISY_LOGGERS = ("alembic", "mlflow.store.db.utils", "mlflow.store.tracking")
"""Whatever they say of a failure, with a traceback, is raised as well, and told in one line."""
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
    before.check_usable(uri)
    _set_defaults()
    with _one_line_errors(uri, spooled):
        make = _client_class()  # before the lock: others need not wait for an import
        with lock.held(uri):
            _check_database(uri, only_read=False)
            client = _client(make, uri)
            artifacts.follow(uri)
            yield client


def before_measuring(run_id: str | None) -> str | None:
    """Look whether the store would take a session, as `look.check`; returns what to tell of a server that does not
    answer now: the session is kept in the spool then. Raises the errors of `opened`, and BadValue."""
    uri = address.tracking_uri()
    _set_defaults()
    try:
        with _one_line_errors(uri, None):
            before.check(uri, run_id)
    except Away as away:
        return str(away)
    return None


def check_fit(spooled: Path) -> None:
    """Raises what keeps the store from taking any record, this one and the next alike; as `opened`."""
    uri = address.tracking_uri()
    _set_defaults()
    with _one_line_errors(uri, spooled):
        before.check(uri, None)


@contextmanager
def reading(uri: str) -> Iterator[MlflowClient]:
    """A client of a store that is only read: it must exist, and no lock is taken. Raises BadRecord for a database that
    is no store of MLflow's, BadValue for a file's path, and as `one_line_read_errors`."""
    spelling.check(uri)
    _set_defaults()
    with one_line_read_errors(uri):
        _check_database(uri, only_read=True)
        yield _client(_client_class(), uri)


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
        if database.is_locked(cause):
            raise StoreUnreachable(f"{database.locked_text(uri)}, then run the command again") from error
        start = "start it, or " if address.is_server(uri) else ""
        advice = refusals.remedy(cause) or f"{start}name another with --store or MLFLOW_TRACKING_URI"
        raise StoreUnreachable(f"the MLflow store {address.shown(uri)} cannot be read ({cause}): {advice}") from error


def _set_defaults() -> None:
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def _client_class() -> type[MlflowClient]:
    """MLflow's, imported; to make one makes the store as well, where it is a database that is not there yet."""
    # cut off by a signal in the middle of its import it could not be used to close the run
    with signals.held():
        from mlflow import MlflowClient

    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return MlflowClient


def _client(make: type[MlflowClient], uri: str) -> MlflowClient:
    with artifacts.beside(uri):
        return make(tracking_uri=address.for_mlflow(uri))


def _check_database(uri: str, only_read: bool) -> None:
    """Connect once ourselves: MLflow tries a database that does not answer ten times over, for 100 s. And MLflow makes
    its tables wherever some are missing, or brings them up to date. Raises as `schema.check`."""
    if database.is_database(uri):
        with database.opened(uri) as found:
            if found is not None:
                found.check_schema(only_read)
            elif only_read:
                raise BadRecord(schema.no_store_text(address.shown(uri), is_empty=True))


@contextmanager
def _one_line_errors(uri: str, spooled: Path | None) -> Iterator[None]:
    try:
        yield
    except DecodeFloorError as error:
        if (told := _with_way_out(error, spooled)) is error:
            raise
        raise told from error
    except ModuleNotFoundError as error:
        raise MissingPackage(_missing_text(error, uri, spooled)) from error
    except Exception as error:
        # MLflow, SQLAlchemy, urllib3, requests, the database drivers and boto each bring their own
        raise _store_error(error, uri, spooled) from error


def _store_error(error: Exception, uri: str, spooled: Path | None) -> DecodeFloorError:
    if _is_full_disk(error):
        return DiskFull(f"no space left for the MLflow store {address.shown(uri)}: free some, {_then(spooled)}")
    cause = address.without_secrets(_cause(error), uri)
    if database.is_locked(cause):
        return StoreUnreachable(f"{database.locked_text(uri)}, {_then(spooled)}")
    if (advice := refusals.remedy(cause)) is None:
        seen = _seen(uri)
        if seen is not None and not isinstance(seen, Away):
            return _with_way_out(seen, spooled)
        see_to = "start that store" if seen or database.is_away(cause) else "see to that"
        advice = f"{see_to}, or set MLFLOW_TRACKING_URI to another"
    return StoreUnreachable(
        f"the MLflow store {address.shown(uri)} did not take it ({cause}): {advice}, {_then(spooled)}"
    )


def _seen(uri: str) -> DecodeFloorError | None:
    """Returns what a look finds wrong with a store that has just refused something: MLflow's words say less."""
    try:
        before.check(uri, None)
    except DecodeFloorError as found:
        return found
    except Exception:
        return None
    return None


def _with_way_out(error: DecodeFloorError, spooled: Path | None) -> DecodeFloorError:
    """The same error; of a record that is spooled, with what to do then."""
    if spooled is None or not isinstance(error, StoreUnreachable):
        return error
    return type(error)(f"{error}, {_then(spooled)}")


def _missing_text(error: ModuleNotFoundError, uri: str, spooled: Path | None) -> str:
    return (
        f"the MLflow store {address.shown(uri)} needs a package that is not installed here ({error}): "
        f"install it, or go where it is, {_then(spooled)}"
    )


def _then(spooled: Path | None) -> str:
    if spooled is None:
        return "then run the command again"
    return f"then `python -m runner import {shlex.quote(str(spooled.parent))}` (the record is safe there)"


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
    first, *more = text.splitlines()
    # of several addresses of one host, libpq's first line says nothing
    return textwrap.shorten(text if more and first.endswith(":") else first, CAUSE_LENGTH, placeholder=" …")
