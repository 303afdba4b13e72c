"""Commands on records that exist: `import`, `verify` and `ui`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click

from runner import store, terminal
from runner.ab import check
from runner.commands.options import ANY_PATH
from runner.errors import BadRecord, BadValue, StoreUnreachable
from runner.record import record
from runner.record import spool as spools
from runner.record.verify import history, recompute
from runner.record.verify.copies import Copies

VERIFY_LINES = 20  # printed per file


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
                f"port {value!r} is not a number from 1 to {store.LAST_PORT}: choose one with --port (make ui PORT=…)"
            )
        return port


@click.command("import")
@click.argument("folder", type=ANY_PATH)
def import_command(folder: Path) -> None:
    """Imports the records below FOLDER into MLflow, each once, and closes runs that killed commands left open."""
    report = store.import_folder(folder)
    click.echo(f"{len(report.imported)} imported, {len(report.present)} already there")
    if report.comparisons:
        click.echo(f"{len(report.comparisons)} A/Bs: {', '.join(report.comparisons)}")
    if report.closed:
        click.echo(f"{len(report.closed)} abandoned runs closed: {', '.join(report.closed)}")
    first_paths: dict[str, Path] = {}
    for refused in report.refused:
        is_first = first_paths.setdefault(refused.reason, refused.path) == refused.path
        reason = refused.reason if is_first else f"for the same reason as {first_paths[refused.reason]}"
        click.echo(terminal.one_line(f"refused {refused.path}: {reason}"), err=True)
    if report.refused:
        if all(refused.by_store for refused in report.refused):
            raise StoreUnreachable(f"the store refused {len(report.refused)} files: mend it, then import again")
        raise BadRecord(f"{len(report.refused)} files were not imported: restore or remove them, then import again")


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--port", type=Port(), default=5000, show_default=True)
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF mlflow ui]")
def ui(port: int, options: tuple[str, ...]) -> None:
    """Opens the measurements in MLflow's UI on 127.0.0.1, or prints the address of the server that has them."""
    served = store.served_at()
    server = served or store.local_address(port)
    addresses = store.view_addresses(server)
    for name, address in addresses or [("no measurements yet", server)]:
        click.echo(f"{name}: {address}")
    if served is None:
        terminal.say("MLflow's UI takes some seconds to start; Ctrl-C stops it")
        store.serve(port, options)


@click.command()
@click.option("--since", metavar="REF", help="also list records that were changed or deleted since REF, by git")
@click.argument("paths", nargs=-1, required=True, metavar="FILE...", type=ANY_PATH)
def verify(paths: tuple[Path, ...], since: str | None) -> None:
    """Recomputes every derived number of the records from their raw values. Compares records with the catalogue, their
    request and one another. Searches folders for *.json. docs/verify.md lists the checks."""
    files = [file for path in paths for file in _record_files(path)]
    recompute.check_reader()
    copies = Copies()
    wrong = [file for file in files if not _is_right(file, copies)]
    if since is not None and (edited := history.changed(since, paths)):
        for line in edited:
            click.echo(terminal.one_line(line))
        raise BadRecord(
            f"{len(edited)} committed records were changed or deleted since {since}: "
            f"`git checkout {since} -- FILE` restores one"
        )
    if wrong:
        raise BadRecord(
            f"{len(wrong)} of {len(files)} records are damaged or differ from their raw values: {record.RESTORE}"
        )
    click.echo(f"ok {len(files)} records")


def _record_files(path: Path) -> list[Path]:
    """Returns the files to verify. Raises BadRecord for a path without records: an empty check must not pass."""
    if not os.path.isdir(path):
        _check_exists(path)
        return [path]
    spools.check_folder(path, BadRecord)
    files = [*spools.record_files(path), *spools.manifest_files(path)]
    if not files:
        raise BadRecord(f"{path}: no records (*.json) there: {spools.NAME_FOLDER}")
    return files


def _check_exists(path: Path) -> None:
    """Raises BadRecord if there is no such path. Other errors are left to its reader."""
    try:
        os.stat(path)
    except FileNotFoundError as error:
        raise BadRecord(f"{path}: no such file or folder: {spools.NAME_FOLDER}, or a file in it") from error
    except OSError:
        pass


def _differences(file: Path, copies: Copies) -> Iterator[str]:
    """Yields the differences of a record, or of a manifest with its records. `copies` has the earlier records."""
    if file.name == spools.MANIFEST_NAME:
        check.read_whole(file)
        return
    read_record, lines = recompute.checked(record.read(file))
    if read_record is None or lines:
        yield from lines
        return
    yield from recompute.name_differences(read_record, file)
    yield from copies.differences(str(file), read_record)


def _is_right(file: Path, copies: Copies) -> bool:
    try:
        lines = [f"{file}: {line}" for line in _differences(file, copies)]
    except BadRecord as error:
        lines = [str(error)]
    for line in lines[:VERIFY_LINES]:
        click.echo(terminal.one_line(line))
    if len(lines) > VERIFY_LINES:
        click.echo(terminal.one_line(f"{file}: {len(lines) - VERIFY_LINES} more"))
    return not lines
