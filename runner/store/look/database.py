"""Check of a store that is a database: its schema, its experiment and runs, and locks on it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

from runner.errors import StoreUnreachable
from runner.store import address, holders
from runner.store.look import artifactroot, refusals, schema, seen, sqlitefile
from runner.store.look.seen import Away, Experiment, RunningRun, StoredRun
from runner.store.session_run import COMMITTED_TAG, OWNER_TAG, PROJECT, SESSION_TAG, SOURCE_TAG

SCHEMES = ("sqlite", "postgresql", "mysql", "mssql")
LOCK_WAIT_S = 10.0
"""Longest wait for another program's lock on an SQLite file."""
LOCKED_WORDS = ("database is locked", "database table is locked", "lock timeout", "Lock wait timeout")
AWAY_WORDS = (
    "Connection refused",
    "No route to host",
    "Name or service not known",
    "Temporary failure in name resolution",
    "timeout expired",
    "timed out",
    "starting up",
    "shutting down",
)
"""Parts of the drivers' messages for a server that does not answer now. Other faults must be corrected first."""
WRITTEN_TABLES = ("experiments", "runs", "tags", "params", "metrics", "latest_metrics")
_POSTGRESQL_TABLES = (
    "SELECT relname FROM pg_catalog.pg_class"
    " WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace"
)
"""All tables. The information schema has only the tables that the user may read."""
_MAY_CREATE = "SELECT has_schema_privilege(current_schema(), 'CREATE')"
_EXPERIMENTS = "SELECT experiment_id, name, lifecycle_stage, artifact_location FROM experiments"
_SESSIONS = (
    "SELECT named.value FROM tags AS named JOIN tags AS filled ON filled.run_uuid = named.run_uuid"
    f" WHERE named.key = '{SESSION_TAG}' AND filled.key = '{COMMITTED_TAG}'"
)
_NAMED = f"SELECT value, run_uuid FROM tags WHERE key = '{SESSION_TAG}' AND value IN ({{}})"
_RUNNING = (
    "SELECT runs.run_uuid, runs.start_time, tags.key, tags.value FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid"
    " WHERE runs.status = 'RUNNING' AND runs.lifecycle_stage = 'active'"
    f" AND (tags.key = '{OWNER_TAG}' OR (tags.key = '{SOURCE_TAG}' AND tags.value = '{PROJECT}'))"
)
_RUNS = "SELECT run_uuid, lifecycle_stage, artifact_uri FROM runs WHERE run_uuid = '{}'"


def is_database(uri: str) -> bool:
    """Returns whether the URI is that of a database."""
    return uri.partition(":")[0].partition("+")[0] in SCHEMES


def is_locked(text: str) -> bool:
    """Returns whether a driver's message says that another program holds a lock."""
    return any(words in text for words in LOCKED_WORDS)


def is_away(text: str) -> bool:
    """Returns whether a driver's message says that the server does not answer now."""
    return any(words in text for words in AWAY_WORDS)


def locked_text(uri: str) -> str:
    """Returns the message for a database that another program keeps locked."""
    file = address.sqlite_file(uri)
    holder = "another program" if file is None else holders.lock_holders(file, *_logs(file))
    return f"the MLflow store {address.masked_uri(uri)} is kept locked by {holder}: wait until it has ended, or end it"


def _logs(file: Path) -> Iterator[Path]:
    return (file.with_name(f"{file.name}{end}") for end in ("-shm", "-wal", "-journal"))


class Database:
    """Backend of a database (see `seen.Backend`); `link` is a connection of Python's DB-API."""

    def __init__(self, uri: str, link: Any) -> None:
        self._uri, self._link = uri, link

    def by_id(self, experiment_id: str) -> Experiment | None:
        return next((each for each in self._experiments() if each.id == experiment_id), None)

    def by_name(self, name: str) -> Experiment | None:
        return next((each for each in self._experiments() if each.name == name), None)

    def run(self, run_id: str) -> StoredRun | None:
        rows = self._rows(_RUNS.format(run_id.replace("'", "''")))
        return StoredRun(rows[0][0], rows[0][1] != "active", str(rows[0][2])) if rows else None

    def default_root(self) -> str | None:
        return artifactroot.default_root(self._uri)

    def check_root(self, root: str) -> None:
        artifactroot.check(self._uri, root)

    def check_schema(self, only_read: bool) -> bool:
        """Returns whether the database has MLflow's tables. Raises as `schema.check`."""
        tables = self._tables()
        revision = self.revision() if "alembic_version" in tables else None
        schema.check(address.masked_uri(self._uri), tables, revision, only_read)
        return bool(tables)

    def remove_unfinished(self) -> None:
        """Removes MLflow's tables if their creation was interrupted: they have no revision yet, and all are empty.

        MLflow makes its first tables and their migrations in two transactions in PostgreSQL. No other process may be
        creating tables meanwhile.
        """
        tables = self._tables()
        if tables >= schema.MLFLOW_TABLES and ("alembic_version" not in tables or self.revision() is None):
            names = [f'"{name}"' for name in sorted(tables)]
            if not any(self._rows(f"SELECT 1 FROM {name} LIMIT 1") for name in names):
                self._rows(f"DROP TABLE {', '.join(names)}", fetch=False)
                self._link.commit()

    def revision(self) -> str | None:
        """Returns the revision of the schema that MLflow has noted, None without one."""
        rows = self._rows("SELECT version_num FROM alembic_version")
        return str(rows[0][0]) if rows else None

    def sessions(self) -> frozenset[str]:
        """Returns the ids of the sessions whose runs are complete."""
        return frozenset(str(value) for (value,) in self._rows(_SESSIONS))

    def runs_of(self, sessions: Collection[str]) -> dict[str, list[str]]:
        """Returns the ids of the runs that name one of the sessions, by session, in whatever experiment and state."""
        ids = ", ".join("'{}'".format(session.replace("'", "''")) for session in sessions)
        runs: dict[str, list[str]] = {}
        for session, run_id in self._rows(_NAMED.format(ids)) if ids else ():
            runs.setdefault(str(session), []).append(str(run_id))
        return runs

    def running(self) -> list[RunningRun]:
        """Returns the runs that are RUNNING and name an owner or this project, the oldest first."""
        return seen.running_runs(
            (str(run_id), int(started_ms or 0), str(key), str(value))
            for run_id, started_ms, key, value in self._rows(_RUNNING)
        )

    def check_writable(self) -> None:
        """Raises the driver's error if the database is read-only or another program keeps it locked."""
        if address.sqlite_file(self._uri) is not None:
            self._link.execute("BEGIN IMMEDIATE")
        elif self._uri.startswith("postgresql"):
            self._rows(f"LOCK TABLE {', '.join(WRITTEN_TABLES)} IN ROW EXCLUSIVE MODE", fetch=False)
        self._link.rollback()

    def check_can_be_made(self) -> None:
        """Raises StoreUnreachable if the user lacks the right to create tables in an empty PostgreSQL database."""
        if self._uri.startswith("postgresql") and self._rows(_MAY_CREATE) != [(True,)]:
            self._refuse_schema("CREATE")

    def _experiments(self) -> list[Experiment]:
        rows = self._rows(_EXPERIMENTS)
        return [Experiment(str(number), name, stage != "active", str(root)) for number, name, stage, root in rows]

    def _tables(self) -> set[str]:
        if address.sqlite_file(self._uri) is not None:
            return {name for (name,) in self._rows(sqlitefile.TABLES)}
        if self._uri.startswith("postgresql"):
            if self._rows("SELECT current_schema()") == [(None,)]:
                self._refuse_schema("USAGE")
            return {str(name) for (name,) in self._rows(_POSTGRESQL_TABLES)}
        return {str(name) for (name,) in self._rows("SELECT table_name FROM information_schema.tables")}

    def _refuse_schema(self, right: str) -> NoReturn:
        fault = f"permission denied: this user lacks {right} on the schema"
        raise StoreUnreachable(
            f"the MLflow store {address.masked_uri(self._uri)} cannot be used ({fault}): {refusals.remedy(fault)}"
        )

    def _rows(self, query: str, fetch: bool = True) -> list[tuple[Any, ...]]:
        with closing(self._link.cursor()) as cursor:
            cursor.execute(query)
            return cast(list[tuple[Any, ...]], cursor.fetchall()) if fetch else []


@contextmanager
def opened(uri: str) -> Iterator[Database | None]:
    """Yields the database, None for an SQLite file that does not exist yet.

    Raises StoreUnreachable if it is locked or not a file, ModuleNotFoundError if the driver is missing, and the
    driver's errors.
    """
    file = address.sqlite_file(uri)
    if file is not None and not sqlitefile.is_there(file, uri):
        yield None
        return
    try:
        with closing(_connection(uri, file)) as link:
            yield Database(uri, link)
    except StoreUnreachable:
        raise
    except Exception as error:  # each driver has exceptions of its own
        if is_locked(str(error)):
            raise StoreUnreachable(locked_text(uri)) from error
        raise


def _connection(uri: str, file: Path | None) -> Any:
    if file is not None:
        import sqlite3

        return sqlite3.connect(sqlitefile.opening(file, "rw"), LOCK_WAIT_S, isolation_level=None, uri=True)
    import sqlalchemy

    try:
        return sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool).raw_connection()
    except Exception as error:  # each driver has exceptions of its own
        text = address.without_secrets(" ".join(str(error).split()), uri)
        if refusals.remedy(text) or not is_away(text):
            raise
        start = "start it or set MLFLOW_TRACKING_URI"
        raise Away(f"the MLflow store {address.masked_uri(uri)} does not answer ({text}): {start}") from error
