"""The command line: it parses, and calls."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path
from typing import Any

import click

from analysis import commands, form
from analysis.commands import FORMAT, FORMATS, SELECTION, Commands, folder
from analysis.sources.selection import Asked
from runner.errors import Usage
from runner.record.spool import DEFAULT_SPOOL
from runner.redaction import credentials

OUT = click.Option(["--out"], type=folder, default=Path("report"), show_default=True, help="folder of its files")
TABLE = click.Option(["--table"], default="report", show_default=True, help="one of the tables, or report")


@click.group(cls=Commands)
def main() -> None:
    """Tables from an MLflow store (the embedded one, unless --store names another) or straight from record files."""


def run() -> None:
    """Runs one command. Raises the errors of the family, and SystemExit: click's own of a command line that cannot be
    parsed, whose parts may hold a password, come from here."""
    try:
        code = main.main(prog_name="python -m analysis", standalone_mode=False)
    except click.ClickException as error:
        told = StringIO()
        error.show(told)
        click.echo(credentials.masked(told.getvalue()), nl=False, err=True)
        _close_entry(Usage(error.format_message()))
        code = error.exit_code
    except click.Abort:
        code = 1
    raise SystemExit(code or 0)


def _close_entry(error: Usage) -> None:
    """Closes the run that `mlflow run` made for a command that was never parsed. Without one nothing is done."""
    from runner import store

    if (run := store.entry_run()) is not None:
        run.mark(DEFAULT_SPOOL)
        run.fail(error)


@main.command(params=[*SELECTION, OUT])
def report(out: Path, **options: Any) -> None:
    """All of it as one page, which loads nothing: tables, figures, and where each number comes from. Of a store it is
    kept in a run there, too."""
    from analysis import publish

    with publish.entry(publish.REPORT) as run_id:
        _make_report(commands.asked(options), out, run_id)


@main.command(params=[*SELECTION, FORMAT, OUT, TABLE])
def tables(table: str, form_: str, out: Path, **options: Any) -> None:
    """What `mlflow run . -e tables` runs: the report, or one table. Under MLflow it is kept in the run made for it."""
    from analysis import publish, registry

    with publish.entry(table) as run_id:
        if table == publish.REPORT:
            _make_report(commands.asked(options), out, run_id)
        else:
            registry.table(table, publish.REPORT)
            commands.make(commands.asked(options), table, form_, run_id=run_id)


def _make_report(asked: Asked, out: Path, run_id: str | None) -> None:
    from analysis import publish
    from analysis.report import contents, files

    found = contents.contents(asked)
    if found.frame.sessions.is_empty():  # there is only what is wrong to tell, which `tell` raises
        commands.tell(found.frame.notes, found.left_out)
    made = files.files(found)
    files.write(made, out)
    click.echo(os.path.abspath(out / files.PAGE))
    if asked.uri is not None:
        run = publish.commit_report(found.answers, made, run_id, asked.uri)
        click.echo(f"MLflow run {publish.REPORT} ({run})", err=True)
    commands.tell(found.frame.notes, found.left_out)


@main.command()
@click.argument("folder", type=folder)
@click.option("--format", "form_", type=click.Choice(FORMATS), default="md", show_default=True)
@click.option("--commit", is_flag=True, help="also write it into the A/B's run in MLflow")
@click.option("--run", "run_id", default=None, help="only the A/B measured under this run of MLflow's, which is closed")
def ab(folder: Path, form_: str, commit: bool, run_id: str | None) -> None:
    """Compare the arms of the A/Bs in FOLDER (and below it), whatever they differ in."""
    from analysis import ab as comparisons
    from analysis import abrow, publish
    from analysis.tables import graphs

    with publish.closing(folder, run_id):
        paths = publish.paths_of(comparisons.paths_in(folder), run_id)
        found, rejected = comparisons.read_all(paths)
        rows = [abrow.summary(one) for one in found]
        click.echo(commands.text(rows, lambda: graphs.markdown(rows), form_), nl=False)
        for one in found if commit else ():
            click.echo(f"MLflow run {one.manifest.title} ({publish.commit(one, run_id)})", err=True)
        commands.tell((), rejected)


@main.command()
@click.option("--records", type=folder, default=Path("experiments/records"), show_default=True)
@click.option("--format", "form_", type=click.Choice(["md", "json"]), default="md", show_default=True)
def coverage(records: Path, form_: str) -> None:
    """What interval and verdict are worth, in simulated A/Bs with the noise of the records' sessions."""
    from analysis import groups
    from analysis.sources.records import Folder
    from analysis.statistics import coverage as simulated
    from analysis.statistics import noise

    frame = Folder(records).frame([groups.WALL])
    report = simulated.report(noise.groups_of(frame))
    click.echo(form.json_text(report) if form_ == "json" else simulated.markdown(report), nl=False)
    commands.tell(frame.notes, frame.left_out)
