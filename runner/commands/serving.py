"""Commands that serve a store until they are stopped: `ui` and `server`."""

from __future__ import annotations

from pathlib import Path

import click

from runner import store, terminal
from runner.commands.options import ANY_PATH
from runner.errors import BadValue, Stopped


class Port(click.ParamType[int]):
    """A TCP port."""

    name = "port"

    def convert(self, value: str | int, _param: click.Parameter | None, _ctx: click.Context | None) -> int:
        """Returns the port's number. Raises BadValue if it is not one."""
        try:
            port = int(value)
        except ValueError:
            port = 0
        if not 0 < port <= store.LAST_PORT:
            raise BadValue(
                f"port {value!r} is not a number from 1 to {store.LAST_PORT}: choose one with --port (PORT=… of make)"
            )
        return port


PORT_OPTION = click.option("--port", type=Port(), default=5000, show_default=True)


@click.command(context_settings={"ignore_unknown_options": True})
@PORT_OPTION
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF mlflow ui]")
def ui(port: int, options: tuple[str, ...]) -> None:
    """Opens the measurements in MLflow's UI on 127.0.0.1, or prints the address of the server that has them."""
    served = store.served_at()
    server = served or store.local_address(port)
    if served is None:
        store.check_options("ui", options)
    addresses = store.view_addresses(server)
    for name, address in addresses or [("no measurements yet", server)]:
        click.echo(f"{name}: {address}")
    if served is None:
        terminal.say("MLflow's UI takes some seconds to start; Ctrl-C stops it")
        terminal.say("MLflow opens its Assistant on the first visit: close the panel to see every column")
        store.serve(port, options)


@click.command(context_settings={"ignore_unknown_options": True})
@PORT_OPTION
@click.option(
    "--host",
    default=store.LOOPBACK,
    show_default=True,
    help="address to listen at; read docs/server.md before you name one that others reach",
)
@click.option("--data", type=ANY_PATH, default=Path("server"), show_default=True, help="folder of its data")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF mlflow server]")
def server(port: int, host: str, data: Path, options: tuple[str, ...]) -> None:
    """Runs a tracking server for a team: MLflow with a PostgreSQL of its own, both with their data in one folder. The
    same command starts it again."""
    address = store.local_address(port, host)
    store.check_options("server", options)

    def announce() -> None:
        click.echo(f"export MLFLOW_TRACKING_URI={address}")
        terminal.say(f"its data are in {data.absolute()}; Ctrl-C stops it")

    try:
        store.run_server(address, host, data, options, announce)
    except Stopped as stopped:
        terminal.say(str(stopped))
