"""MLflow's UI of the store, and the addresses of its views."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

from runner import failures, terminal
from runner.errors import BadValue
from runner.store import address, connection, experiment, saved_views

LOOPBACK = "127.0.0.1"
OF_ALL = {"0.0.0.0": LOOPBACK, "::": "::1"}
"""Host of a server that listens at every address → an address at which it is reached."""
ANY_PORT = 0
SERVER = {
    "MLFLOW_UVICORN_OPTS": "--log-level warning",
    "PYTHONWARNINGS": "ignore:starlette.middleware.wsgi is deprecated",
    "MLFLOW_WORKERS": "2",  # with one, uvicorn prints a traceback after Ctrl-C
    # without processes that poll for jobs, of which there are none
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Environment in which MLflow's server starts quickly and quietly. A variable that the user has set stays."""
LAST_PORT = 65_535
OTHER_PORTS = 20
"""Ports above a used one in which a free one is looked for."""


def served_at() -> str | None:
    """Returns the address of the MLflow server that is the store; None if the store is a file or database."""
    uri = address.tracking_uri()
    return address.masked_uri(uri).rstrip("/") if uri.startswith(("http://", "https://")) else None


def local_address(port: int, host: str = LOOPBACK) -> str:
    """Returns the address at which a server that listens at a host and a port is reached from this machine.

    Raises BadValue if the port cannot be used, or if the host is no address of this machine.
    """
    if (obstacle := _obstacle(host, ANY_PORT)) is not None:
        raise BadValue(
            f"--host {host} is no address of this machine ({failures.reason(obstacle)}): name one of its own, or "
            "0.0.0.0 for all"
        ) from obstacle
    if (obstacle := _obstacle(host, port)) is not None:
        others = range(port + 1, min(port + OTHER_PORTS, LAST_PORT) + 1)
        free = next((other for other in others if _obstacle(host, other) is None), None)
        example = "" if free is None else f", such as {free}"
        raise BadValue(
            f"port {port} cannot be used ({failures.reason(obstacle)}): choose another{example}, with --port "
            "(PORT=… of make)"
        ) from obstacle
    reached = OF_ALL.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def _obstacle(host: str, port: int) -> OSError | None:
    """Returns the error of listening at the port, None if it can be used."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as MLflow's own server
            attempt.bind(place)
    except OSError as error:
        return error
    return None


def view_addresses(server: str) -> list[tuple[str, str]]:
    """Returns name and address of every experiment with this program's views. Prints a note for each deleted one.

    Raises StoreUnreachable.
    """
    with connection.opened() as client:
        experiments, deleted = experiment.with_views(client), experiment.deleted(client)
    for hidden in deleted:
        terminal.say(f"note: {hidden}")
    return [(each.name, saved_views.address(server, each.experiment_id)) for each in experiments]


def check_options(name: str, options: Sequence[str]) -> None:
    """Raises click's errors of wrong options of `mlflow NAME`. MLflow is imported only for an option."""
    if not options:
        return
    import click  # a machine without click is told so, by a program that imports this module first
    from mlflow.cli import cli

    with click.Context(cli, info_name="mlflow") as context:
        command = cli.get_command(context, name)
        command.make_context(name, list(options), parent=context)


def serve(port: int, options: Sequence[str]) -> None:
    """Runs MLflow's UI of the store on the loopback interface until it is stopped.

    Shows what MLflow says at its start only if it fails. Raises MissingPackage, and click's errors of wrong `options`.
    """
    # every user of this host can read a password on the command line
    os.environ["MLFLOW_BACKEND_STORE_URI"] = address.for_mlflow(address.tracking_uri())
    for name, value in SERVER.items():
        os.environ.setdefault(name, value)
    from mlflow.cli import cli

    command = ["ui", "--host", LOOPBACK, "--port", str(port), *options]
    said = StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            cli.main(command, "mlflow", standalone_mode=False)
    except (Exception, SystemExit):
        for line in said.getvalue().splitlines():
            terminal.say(line)
        raise
