"""`python -m analysis floor|graphs|quant|ab|coverage`: tables from records."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from analysis import floor as floor_table
from analysis import sessions
from runner.errors import BadRecord, DecodeFloorError, Stopped
from runner.machine import signals

Function = TypeVar("Function", bound=Callable[..., Any])


@click.group()
def main() -> None:
    """Tables from records."""


def _of_records(function: Function) -> Function:
    """Where the records are, and in which form the table is printed."""
    folder = click.Path(path_type=Path)
    function = click.option("--format", "form", type=click.Choice(["md", "json"]), default="md", show_default=True)(
        function
    )
    return click.option("--records", type=folder, default=Path("experiments/records"), show_default=True)(function)


def _print(table: Any, words: Callable[[Any], str], form: str) -> None:
    click.echo(json.dumps(table, indent=1) if form == "json" else words(table), nl=form == "json")


def _name_rejected(rejected: Sequence[str], of: int) -> None:
    """Raises BadRecord when anything was left out."""
    for line in rejected:
        click.echo(f"left out {line}", err=True)
    if rejected:
        raise BadRecord(f"{len(rejected)} of {of} records are left out of the table")


@main.command()
@_of_records
@click.option("--all", "every_code", is_flag=True, help="also the sessions of older code, in rows of their own")
def floor(records: Path, form: str, every_code: bool) -> None:
    """How far each cell is from its memory floor. Records that `runner verify` rejects are named and left out."""
    found, rejected = sessions.read_folder(records)
    _print(floor_table.rows(found, every_code), floor_table.markdown, form)
    _name_rejected(rejected, len(found) + len(rejected))


@main.command()
@_of_records
@click.option("--figure", type=click.Path(path_type=Path, dir_okay=False), help="also draw it, as a PNG file")
def graphs(records: Path, form: str, figure: Path | None) -> None:
    """What a CUDA graph is worth: every A/B between runtimes, with interval and verdict."""
    from analysis import ab as comparisons
    from analysis import graphs as table

    found, rejected = comparisons.read_folder(records)
    rows = table.rows(found)
    _print(rows, table.markdown_with_paper, form)
    if figure is not None:
        _draw(found, rows, figure)
    _name_rejected(rejected, len(found) + len(rejected))


@main.command()
@_of_records
@click.option("--figure", type=click.Path(path_type=Path, dir_okay=False), help="also draw it, as a PNG file")
def quant(records: Path, form: str, figure: Path | None) -> None:
    """What quantised weights save: by their bytes, and by the clock."""
    from analysis import figures
    from analysis import quant as table

    found, rejected = sessions.read_folder(records)
    rows = table.rows(found)
    _print(rows, table.markdown, form)
    if figure is not None:
        figure.write_bytes(figures.png(figures.quant_figure(rows)))
    _name_rejected(rejected, len(found) + len(rejected))


def _draw(found: Sequence[Any], rows: Sequence[Any], path: Path) -> None:
    from analysis import figures, paper

    by_id = {each.manifest.id: each for each in found}
    drawn = figures.graphs_figure([by_id[row["ab"]] for row in rows], rows, paper.graphs_rows())
    path.write_bytes(figures.png(drawn))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["md", "json"]), default="md", show_default=True)
@click.option("--commit", is_flag=True, help="also write it into the A/B's run in MLflow")
@click.option("--run", "run_id", default=None, help="only the A/B measured under this run of MLflow's, which is closed")
def ab(folder: Path, form: str, commit: bool, run_id: str | None) -> None:
    """Compare the arms of the A/Bs in FOLDER (and below it), whatever they differ in."""
    from analysis import ab as comparisons
    from analysis import graphs as table
    from analysis import publish

    with publish.closing(folder, run_id):
        paths = publish.paths_of(comparisons.paths_in(folder), run_id)
        found, rejected = comparisons.read_all(paths)
        _print([comparisons.summary(one) for one in found], table.markdown, form)
        for one in found if commit else ():
            click.echo(f"MLflow run {one.manifest.title} ({publish.commit(one, run_id)})", err=True)
        _name_rejected(rejected, len(paths))


@main.command()
@_of_records
def coverage(records: Path, form: str) -> None:
    """What interval and verdict are worth, in simulated A/Bs with the noise of the records' sessions."""
    from analysis import coverage as simulated
    from analysis import noise

    found, rejected = sessions.read_folder(records)
    _print(simulated.report(noise.groups_of(found)), simulated.markdown, form)
    _name_rejected(rejected, len(found) + len(rejected))


if __name__ == "__main__":
    signals.install()
    try:
        main()
    except (DecodeFloorError, Stopped) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
