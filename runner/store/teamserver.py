"""MLflow's tracking server for a team, with a PostgreSQL of its own: the data of both are in one folder."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from runner.errors import BadValue
from runner.files import plainfile
from runner.processes import service, signals
from runner.processes.service import Service
from runner.store import connection, postgresql, ui
from runner.store.look import database

ANSWER_S = 5.0


def run(address: str, host: str, folder: Path, options: Sequence[str], announce: Callable[[], None]) -> None:
    """Runs the server with the data in the folder, until a signal stops it. Both are stopped then.

    `address` is where the server that listens at `host` is reached. `announce` is called when it answers. `options` are
    those of `mlflow server`. Raises BadValue, MissingPackage, and StoreUnreachable if a server does not start or ends.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "postgresql"
    with signals.held(), _claimed(folder):
        stored = postgresql.service(data, folder / "postgresql.log")
        with service.running(stored, lambda: postgresql.answers(data)) as databases:
            _check_tables(postgresql.uri(data))
            served = _mlflow(address, host, folder, postgresql.uri(data), options)
            with service.running(served, lambda: _answers(address)) as tracking, signals.let_through():
                announce()
                service.await_end((tracking, databases))


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Keeps other servers from the folder. Raises BadValue if there is one."""
    with plainfile.opened_lock(folder / "lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadValue(f"a server uses {folder}: stop it, or choose another folder with --data") from error
        yield


def _check_tables(uri: str) -> None:
    """Raises StoreUnreachable for tables of another version of MLflow, which its server would refuse by a traceback.

    Removes the tables of a server that was killed while MLflow made them.
    """
    with connection.one_line_read_errors(uri), database.opened(uri) as tables:
        if tables is not None:
            tables.remove_unfinished()
            tables.check_schema(only_read=False)


def _mlflow(address: str, host: str, folder: Path, uri: str, options: Sequence[str]) -> Service:
    port = address.rpartition(":")[2]
    # clients send artifacts to the server, so that they need no access to its disk
    artifacts = ["--serve-artifacts", "--artifacts-destination", str(folder / "artifacts")]
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", port, *artifacts, *options]
    environment = {**ui.SERVER, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    return Service("MLflow's server", command, environment, folder, folder / "mlflow.log", signal.SIGTERM)


def _answers(address: str) -> bool:
    """Returns whether the server answers, with any status: it may demand a login or have a prefix."""
    import urllib.error  # slow to import, and every command imports this module
    import urllib.request

    try:
        urllib.request.urlopen(f"{address}/health", timeout=ANSWER_S).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
