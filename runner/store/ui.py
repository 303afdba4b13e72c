"""MLflow's UI over the store, and the addresses in it that show the cells."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence

from runner import failures, terminal
from runner.errors import BadValue
from runner.store import address, connection, experiment
from runner.store.saved_views import cells_address

LOOPBACK = "127.0.0.1"


def served_at() -> str | None:
    """The address of the MLflow server that is the store; None where the store has to be served first."""
    uri = address.tracking_uri()
    return address.shown(uri).rstrip("/") if uri.startswith(("http://", "https://")) else None


def local_address(port: int) -> str:
    """Returns where `serve` shows the store. Raises BadValue where the port cannot be had: MLflow says so late, on many
    lines."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as MLflow's own server
        try:
            attempt.bind((LOOPBACK, port))
        except OSError as error:
            text = f"port {port} cannot be used ({failures.reason(error)}): choose another with --port"
            raise BadValue(text) from error
    return f"http://{LOOPBACK}:{port}"


def cells_addresses(server: str) -> list[tuple[str, str]]:
    """Name and address of every experiment that has our views; tells of deleted ones. Raises StoreUnreachable."""
    with connection.opened() as client:
        found, deleted = experiment.with_views(client), experiment.deleted(client)
    for each in deleted:
        terminal.say(f"note: {each}")
    return [(one.name, cells_address(server, one.experiment_id)) for one in found]


def serve(port: int, options: Sequence[str]) -> None:
    """Become MLflow's UI over the store, on the loopback interface. Does not return."""
    # a URI on the command line would show its password to everybody on this host
    os.environ["MLFLOW_BACKEND_STORE_URI"] = address.for_mlflow(address.tracking_uri())
    command = [sys.executable, "-m", "mlflow", "ui", "--host", LOOPBACK, "--port", str(port), *options]
    os.execv(sys.executable, command)
