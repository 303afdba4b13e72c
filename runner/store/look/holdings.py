"""Holdings of a store that is a database: its schema's revision and its sessions, without MLflow."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from runner.store.look import database


@dataclass(frozen=True)
class Holdings:
    """The revision of the schema (None without tables), and the ids of complete sessions."""

    revision: str | None
    sessions: frozenset[str]


def read(uri: str) -> Holdings | None:
    """Returns the contents, which are empty for a database that does not exist yet; None for a server.

    Raises StoreUnreachable and the driver's errors.
    """
    if not database.is_database(uri):
        return None
    with database.opened(uri) as tables:
        if tables is None or not tables.check_schema(only_read=False):
            return Holdings(None, frozenset())
        return Holdings(tables.revision(), tables.sessions())


def runs_of(uri: str, sessions: Collection[str]) -> dict[str, list[str]] | None:
    """Returns the ids of the runs that name one of the sessions, by session, in whatever experiment and state; None for
    a server.

    MLflow's search takes one value of a tag at a time, and reads that tag of every run for it. Raises StoreUnreachable
    and the driver's errors.
    """
    if not database.is_database(uri):
        return None
    with database.opened(uri) as tables:
        if tables is None or not tables.check_schema(only_read=False):
            return {}
        return tables.runs_of(sessions)
