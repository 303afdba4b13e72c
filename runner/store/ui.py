"""MLflow's UI of the store, and the addresses of its views of the cells."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence

from runner import failures, terminal
from runner.errors import BadValue
from runner.store import address, connection, experiment
from runner.store import saved_views

LOOPBACK = "127.0.0.1"


def served_at() -> str | None:
    """Returns the address of the MLflow server that is the store; None if the store is a file or database."""
    uri = address.tracking_uri()
    return address.masked_uri(uri).rstrip("/") if uri.startswith(("http://", "https://")) else None


def local_address(port: int) -> str:
    """Returns the address at which `serve` shows the store. Raises BadValue if the port cannot be used."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as MLflow's own server
        try:
            attempt.bind((LOOPBACK, port))
        except OSError as error:
            text = f"port {port} cannot be used ({failures.reason(error)}): choose another with --port"
            raise BadValue(text) from error
    return f"http://{LOOPBACK}:{port}"


def view_addresses(server: str) -> list[tuple[str, str]]:
    """Returns name and address of every experiment with this program's views. Prints a note for each deleted one.

    Raises StoreUnreachable.
    """
    with connection.opened() as client:
        experiments, deleted = experiment.with_views(client), experiment.deleted(client)
    for hidden in deleted:
        terminal.say(f"note: {hidden}")
    return [(each.name, saved_views.address(server, each.experiment_id)) for each in experiments]


def serve(port: int, options: Sequence[str]) -> None:
    """Replaces this process by MLflow's UI of the store, on the loopback interface. Never returns."""
    # every user of this host can read a password on the command line
    os.environ["MLFLOW_BACKEND_STORE_URI"] = address.for_mlflow(address.tracking_uri())
    command = [sys.executable, "-m", "mlflow", "ui", "--host", LOOPBACK, "--port", str(port), *options]
    os.execv(sys.executable, command)
