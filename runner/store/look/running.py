"""Runs of a store that are RUNNING and may be this program's, without MLflow."""

from __future__ import annotations

from runner.store.look import database, server
from runner.store.look.seen import RunningRun


def read(uri: str) -> list[RunningRun]:
    """Returns the runs that name an owner or a project, the oldest first.

    Returns none for a database that does not exist yet, and for a store that is neither a database nor a server without
    a login of its own. Raises StoreUnreachable and the driver's errors.
    """
    if server.is_server(uri):
        return server.Server(uri).running()
    if not database.is_database(uri):
        return []
    with database.opened(uri) as tables:
        return tables.running() if tables is not None and tables.check_schema(only_read=False) else []
