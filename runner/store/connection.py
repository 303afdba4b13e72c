"""One exclusive conversation with the store; whatever goes wrong in it becomes one line for the terminal."""

from __future__ import annotations

import errno
import logging
import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import BadRecord, DecodeFloorError, DiskFull, MissingPackage, StoreUnreachable
from runner.machine import signals
from runner.store import address, artifacts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sqlalchemy import Engine

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
MLFLOW_TABLES = frozenset({"alembic_version", "experiments", "runs"})
"""Some that every version of MLflow has made; it is enough to tell its databases from others."""


@contextmanager
def opened(spooled: Path | None = None, uri: str | None = None) -> Iterator[MlflowClient]:
    """A client of the store (of the environment's, unless `uri` names another), made if it does not exist yet and held
    under its lock.

    `spooled` is the file of the record that is to be stored, for the message. Raises StoreUnreachable,
    DiskFull or MissingPackage, each in one line without passwords.
    """
    uri = uri or address.tracking_uri()
    address.check_password(uri)
    with _one_line_errors(uri, spooled), address.locked(uri):
        # MLflow cut off by a signal in the middle of its import could not be used to close the run
        with signals.held():
            client = _client(uri)
        artifacts.follow(uri)
        yield client


@contextmanager
def reading(uri: str) -> Iterator[MlflowClient]:
    """A client of a store that is only read: it must exist, and no lock is taken. Raises BadRecord for a database that
    is no store of MLflow's, BadValue for a file's path, and as `one_line_read_errors`."""
    address.check_is_uri(uri)
    address.check_password(uri)
    with one_line_read_errors(uri):
        yield _client(uri, only_read=True)


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
        start = "start it, or " if address.is_server(uri) else ""
        raise StoreUnreachable(
            f"the MLflow store {address.shown(uri)} cannot be read ({cause}): {start}name another with --store or "
            "MLFLOW_TRACKING_URI"
        ) from error


def _client(uri: str, only_read: bool = False) -> MlflowClient:
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    if (engine := _engine(uri)) is not None:
        _check_database(engine, uri, only_read)
    with artifacts.beside(uri):
        return MlflowClient(tracking_uri=address.for_mlflow(uri))


def _engine(uri: str) -> Engine | None:
    """Of a database, None for a store that is none."""
    from mlflow.store.db.db_types import DATABASE_ENGINES

    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme not in DATABASE_ENGINES:
        return None
    import sqlalchemy

    return sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)


def _check_database(engine: Engine, uri: str, only_read: bool) -> None:
    """Connect once ourselves: MLflow tries a database that does not answer ten times over, for 100 s. And MLflow makes
    its tables wherever some are missing, which is not for a command that only reads: raises BadRecord for a database
    without them, StoreUnreachable for those of another version."""
    import sqlalchemy

    found = set(sqlalchemy.inspect(engine).get_table_names())
    if only_read and not found >= MLFLOW_TABLES:
        raise BadRecord(_no_store_text(address.shown(uri), is_empty=not found))
    if only_read:
        _check_schema(engine, uri)


def _check_schema(engine: Engine, uri: str) -> None:
    """Raises StoreUnreachable where the tables are another MLflow's. By itself MLflow brings some older ones up to
    date, and of others says what its servers' administrators should do."""
    import sqlalchemy
    from alembic.script import ScriptDirectory
    from mlflow.store import db_migrations
    from mlflow.version import VERSION

    with engine.connect() as link:
        found = link.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar()
    own = ScriptDirectory(str(Path(str(db_migrations.__file__)).parent)).get_current_head()
    if found != own:
        raise StoreUnreachable(
            f"the MLflow store {address.shown(uri)} cannot be read: its tables have the schema {found} of another "
            f"MLflow, that of MLflow {VERSION} here is {own}: use the MLflow that made it, or copy it and bring the "
            "copy up to date with `mlflow db upgrade URI-OF-THE-COPY`"
        )


def _no_store_text(shown: str, is_empty: bool) -> str:
    if is_empty:
        return (
            f"there is no MLflow store in {shown} yet, the database is empty: `python -m runner import` brings records "
            "in, or name another with --store or MLFLOW_TRACKING_URI"
        )
    return (
        f"there is no MLflow store in {shown} but a database of something else: name another with --store or "
        "MLFLOW_TRACKING_URI"
    )


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
    return textwrap.shorten(text.splitlines()[0], CAUSE_LENGTH, placeholder=" …")
