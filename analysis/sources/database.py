"""A store's database itself: connections that see one state of it, and a token of that state. SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import polars

from runner.errors import BadRecord
from runner.store import address, connection
from runner.store.look import spelling, sqlitefile

SQLITE, POSTGRES = "sqlite", "postgresql"
TEXT, WHOLE, NUMBER = polars.String, polars.Int64, polars.Float64
CHANGE_COUNTER = slice(24, 28)
"""Where an SQLite file counts its transactions (sqlite.org/fileformat.html, "File change counter")."""
ONE_STATE = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"


def kind_of(uri: str) -> str | None:
    """SQLITE or POSTGRES, None for a store of another kind."""
    scheme = uri.partition(":")[0].partition("+")[0]
    return scheme if scheme in (SQLITE, POSTGRES) else None


def state(uri: str) -> str:
    """A text that changes with every transaction that writes anything to the store. Raises StoreUnreachable, BadRecord
    where there is no such file, BadValue for a slip in the URI."""
    spelling.check(uri)
    with connection.one_line_read_errors(uri):
        return _sqlite_state(_file(uri)) if kind_of(uri) == SQLITE else _postgres_state(uri)


def _file(uri: str) -> Path:
    file = address.sqlite_file(uri)
    if file is None or not sqlitefile.is_there(file, uri):
        raise BadRecord(
            f"there is no MLflow store {address.shown(uri)} yet: measure a cell, `python -m runner import` records, or "
            "name another with --store"
        )
    return file


def _sqlite_state(file: Path) -> str:
    """What the file's header counts, and when it and its logs were written."""
    with open(file, "rb") as opened_file:
        counter = opened_file.read(CHANGE_COUNTER.stop)[CHANGE_COUNTER].hex()
    return json.dumps([counter, *(_written(file.with_name(f"{file.name}{end}")) for end in ("", "-wal", "-journal"))])


def _written(file: Path) -> list[int] | None:
    with suppress(FileNotFoundError):
        found = file.stat()
        return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns]
    return None


def _postgres_state(uri: str) -> str:
    """Which transactions are over: through psycopg, which MLflow needs for such a store and which starts faster than
    what reads columns."""
    import psycopg

    with psycopg.connect(address.libpq_uri(uri)) as link:
        found = link.execute(
            "SELECT oid::text, pg_current_snapshot()::text FROM pg_database WHERE datname = current_database()"
        )
        return json.dumps(found.fetchone())


def _driver(uri: str) -> Any:
    if kind_of(uri) == POSTGRES:
        import adbc_driver_postgresql

        return adbc_driver_postgresql.connect(address.libpq_uri(uri))
    import adbc_driver_sqlite

    return adbc_driver_sqlite.connect(sqlitefile.opening(_file(uri), "ro"))


class Database:
    """A connection that sees one state of the store, from its first query on.

    It is ADBC's own and not the package's DB-API, which imports pyarrow and pandas before it says a word; polars takes
    the columns as they come.
    """

    def __init__(self, uri: str, snapshot: str | None = None) -> None:
        """`snapshot` is one that another connection to PostgreSQL exported."""
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
        """The rows, with columns of these names and types (SQLite tells none where there is no row)."""
        from adbc_driver_manager import AdbcStatement

        statement = AdbcStatement(self._link)
        try:
            statement.set_sql_query(text)
            stream, _ = statement.execute_query()
            found = polars.DataFrame(stream)
        finally:
            statement.close()
        found.columns = list(types)
        return found.cast(polars.Schema(types))

    def revision(self) -> str | None:
        """Of MLflow's schema; None where this is no store of MLflow's."""
        try:
            return str(self.query("SELECT version_num FROM alembic_version", version=TEXT).item())
        except Exception:  # each driver has errors of its own for a table that is not there
            return None

    @contextmanager
    def beside(self) -> Iterator[Database]:
        """A second connection, for another thread: of PostgreSQL to the very same state, of SQLite to the newest."""
        snapshot = None
        if self.kind == POSTGRES:
            snapshot = str(self.query("SELECT pg_export_snapshot()", snapshot=TEXT).item())
        second = Database(self._uri, snapshot)
        try:
            yield second
        finally:
            second.close()


@contextmanager
def opened(uri: str) -> Iterator[Database]:
    """The database of a store. Raises StoreUnreachable, BadRecord where there is no such file."""
    with connection.one_line_read_errors(uri):
        database = Database(uri)
        try:
            yield database
        finally:
            database.close()
