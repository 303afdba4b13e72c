"""Direct access to a store's SQLite or PostgreSQL database: snapshot connections, and a token of the store's state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import polars

from analysis.sources.stored import NoSession
from runner.store import address, connection
from runner.store.look import sqlitefile

SQLITE, POSTGRES = "sqlite", "postgresql"
TEXT, WHOLE, NUMBER = polars.String, polars.Int64, polars.Float64
CHANGE_COUNTER = slice(24, 28)
"""Bytes of an SQLite file that count its transactions (sqlite.org/fileformat.html, "File change counter")."""
ONE_STATE = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"


def kind_of(uri: str) -> str | None:
    """Returns SQLITE or POSTGRES, None for any other store."""
    scheme = uri.partition(":")[0].partition("+")[0]
    return scheme if scheme in (SQLITE, POSTGRES) else None


def state(uri: str) -> str:
    """Returns a token that changes with every transaction that writes to the store.

    Raises StoreUnreachable, or NoSession if the file does not exist.
    """
    with connection.one_line_read_errors(uri):
        return _sqlite_state(_file(uri)) if kind_of(uri) == SQLITE else _postgres_state(uri)


def _file(uri: str) -> Path:
    file = address.sqlite_file(uri)
    if file is None or not sqlitefile.is_there(file, uri):
        raise NoSession(
            f"there is no MLflow store {address.masked_uri(uri)} yet: measure a cell, `python -m runner import` "
            "records, or "
            "name another with --store"
        )
    return file


def _sqlite_state(file: Path) -> str:
    """Returns the file's transaction counter, and the stat values of the file and its logs."""
    with open(file, "rb") as opened_file:
        counter = opened_file.read(CHANGE_COUNTER.stop)[CHANGE_COUNTER].hex()
    return json.dumps(
        [counter, *(_stat_values(file.with_name(f"{file.name}{end}")) for end in ("", "-wal", "-journal"))]
    )


def _stat_values(file: Path) -> list[int] | None:
    with suppress(FileNotFoundError):
        status = file.stat()
        return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]
    return None


def _postgres_state(uri: str) -> str:
    """Returns a token of the finished transactions. Uses psycopg, which MLflow requires and which starts faster than
    ADBC."""
    import psycopg

    with psycopg.connect(address.libpq_uri(uri)) as link:
        result = link.execute(
            "SELECT oid::text, pg_current_snapshot()::text FROM pg_database WHERE datname = current_database()"
        )
        return json.dumps(result.fetchone())


def _driver(uri: str) -> Any:
    if kind_of(uri) == POSTGRES:
        import adbc_driver_postgresql

        return adbc_driver_postgresql.connect(address.libpq_uri(uri))
    import adbc_driver_sqlite

    return adbc_driver_sqlite.connect(sqlitefile.opening(_file(uri), "ro"))


class Database:
    """A connection that sees one state of the store from its first query on.

    It uses ADBC's low-level connection. The DB-API of that package imports pyarrow and pandas; polars reads the columns
    directly.
    """

    def __init__(self, uri: str, snapshot: str | None = None) -> None:
        """Opens the connection. `snapshot` is the name of a snapshot that another PostgreSQL connection exported."""
        self._uri, self.kind = uri, kind_of(uri)
        import adbc_driver_manager

        self._database = _driver(uri)
        self._link = adbc_driver_manager.AdbcConnection(self._database)
        self._link.set_autocommit(False)
        if self.kind == POSTGRES:
            self.query(ONE_STATE)
            if snapshot:
                self.query(f"SET TRANSACTION SNAPSHOT '{snapshot}'")

    def close(self) -> None:
        self._link.close()
        self._database.close()

    def query(self, text: str, **types: Any) -> polars.DataFrame:
        """Returns the rows with columns of these names and types. SQLite reports no types for an empty result."""
        from adbc_driver_manager import AdbcStatement

        statement = AdbcStatement(self._link)
        try:
            statement.set_sql_query(text)
            stream, _ = statement.execute_query()
            frame = polars.DataFrame(stream)
        finally:
            statement.close()
        frame.columns = list(types)
        return frame.cast(polars.Schema(types))

    def revision(self) -> str | None:
        """Returns the revision of MLflow's schema, None if this is no MLflow store."""
        try:
            return str(self.query("SELECT version_num FROM alembic_version", version=TEXT).item())
        except Exception:  # each driver has its own error for a missing table
            return None

    @contextmanager
    def second(self) -> Iterator[Database]:
        """Yields a second connection for another thread. PostgreSQL gives it the same snapshot, SQLite the newest
        state."""
        snapshot = None
        if self.kind == POSTGRES:
            snapshot = str(self.query("SELECT pg_export_snapshot()", snapshot=TEXT).item())
        other = Database(self._uri, snapshot)
        try:
            yield other
        finally:
            other.close()


@contextmanager
def opened(uri: str) -> Iterator[Database]:
    """Yields the database of a store. Raises NoSession if its file does not exist, StoreUnreachable if it cannot be
    opened or read."""
    with connection.one_line_read_errors(uri):
        database = Database(uri)
        try:
            yield database
        finally:
            database.close()
