"""The command line of `python -m analysis`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from analysis import commands
from analysis.choose.choosecommand import choose
from analysis.commands import FORMAT, SELECTION, Commands, folder
from analysis.prediction.predicting import predict
from analysis.sources.selection import Selection
from runner import arguments as runner_arguments
from runner import failures, layout, program
from runner.errors import BadValue, Usage
from runner.record.spool import DEFAULT_SPOOL

OUT = click.Option(
    ["--out"], type=folder, default=Path("report"), show_default=True, help="folder that the report is written to"
)
FIGURES = click.Option(
    ["--out"], type=folder, default=Path("figures"), show_default=True, help="folder that the figures are written to"
)
RECORDS = Path("experiments/records")
TABLE = click.Option(["--table"], default="report", show_default=True, help="name of a table, or `report`")


@click.group(cls=Commands)
def main() -> None:
    """Prints tables from an MLflow store (the embedded one unless --store names another) or directly from record
    files."""


main.add_command(predict)
main.add_command(choose)


def run(arguments: Sequence[str]) -> int:
    """Runs one command, as `program.run` does. A usage error also closes MLflow's run."""
    try:
        return program.run(main, "python -m analysis", arguments)
    except Usage as error:
        _close_entry(error)
        raise


def _close_entry(error: Usage) -> None:
    """Marks the run that `mlflow run` created as failed after a usage error. Does nothing without such a run."""
    from runner import store

    if (run := store.entry_run()) is not None:
        run.mark(DEFAULT_SPOOL)
        run.fail(error)


@main.command(params=[*SELECTION, OUT])
def report(out: Path, **options: Any) -> None:
    """Writes all tables and figures as one self-contained HTML page. With a store, also logs it there as a run."""
    from analysis import publish

    with publish.entry(publish.REPORT) as run_id:
        _make_report(commands.selection(options), out, run_id)


@main.command(params=[*SELECTION, FIGURES])
def figures(out: Path, **options: Any) -> None:
    """Writes the figures of the report as SVG files."""
    from analysis.report import contents, files, page

    report = contents.contents(commands.selection(options))
    drawn = page.pictures(report)
    files.write(files.drawings(drawn), out)
    for name in drawn:
        click.echo(out / f"{name}.svg")
    commands.print_omissions(report.frame.notes, report.left_out)


@main.command(params=[*SELECTION, FORMAT, OUT, TABLE])
def tables(table: str, form_: str, out: Path, **options: Any) -> None:
    """Prints one table or writes the report; the entry point `tables` of `mlflow run` calls it. Under MLflow, logs the
    result in its run."""
    from analysis import publish, registry

    with publish.entry(table) as run_id:
        if table == publish.REPORT:
            _make_report(commands.selection(options), out, run_id)
        else:
            registry.table(table, publish.REPORT)
            commands.make(commands.selection(options), table, form_, run_id=run_id)


def _make_report(selection: Selection, out: Path, run_id: str | None) -> None:
    from analysis import publish
    from analysis.report import contents, files

    report = contents.contents(selection)
    if report.frame.sessions.is_empty():  # the lines below are all there is, and an error follows
        commands.print_omissions(report.frame.notes, report.left_out)
    content = files.files(report)
    files.write(content, out)
    click.echo(os.path.abspath(out / files.PAGE))
    if selection.uri is not None:
        answers = [answer.markdown for answer in report.answers]
        run = publish.commit_report(answers, content, run_id, selection.uri)
        click.echo(f"MLflow run {publish.REPORT} ({run})", err=True)
    commands.print_omissions(report.frame.notes, report.left_out)


@main.command()
@click.option("--store", default=None, help="compare the newest session of this store, not of --spool")
@click.option(
    "--spool",
    type=folder,
    default=DEFAULT_SPOOL,
    show_default=True,
    help="a record, or a folder: its newest record",
)
@click.option(
    "--records", type=folder, default=None, help=f"recorded sessions to compare with [default: {RECORDS}, if it exists]"
)
@click.option("--after-cell", is_flag=True, help="take --spool from ARGUMENTS, and print an error as a note")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS OF runner cell]")
def compare(store: str | None, spool: Path, records: Path | None, after_cell: bool, arguments: tuple[str, ...]) -> None:
    """Compares a session with recorded runtimes of the same GPU, model, ctx and quant."""
    if arguments and not after_cell:
        raise BadValue(f"unexpected arguments {' '.join(arguments)}: they go with --after-cell")
    if not after_cell:
        _print_comparison(store, spool, records)
    elif not runner_arguments.is_json(arguments):  # which promises that nothing follows the object
        with _errors_as_notes("not compared with recorded sessions"):
            _print_comparison(store, runner_arguments.spool(arguments), records)


def _print_comparison(store: str | None, spool: Path, records: Path | None) -> None:
    from analysis import compare as comparing
    from analysis import groups

    if records is not None:
        comparing.check_records(records)
    recorded = [records] if records is not None else [RECORDS] if RECORDS.is_dir() else []
    if store is None:
        path = comparing.newest_record(spool)
        comparison = comparing.of_record(path, dict.fromkeys((path.parent, *recorded)))
    else:
        frame = Selection.from_options(store, None, None, None, None).frame([groups.WALL])
        comparison = comparing.compare(frame, store, recorded)
    for line in comparison.lines(layout.width()):
        click.echo(line)
    commands.print_omissions(comparison.notes, ())


@contextmanager
def _errors_as_notes(what: str) -> Iterator[None]:
    """Prints an error as a note: what came before the block has succeeded, and its exit code stays."""
    try:
        yield
    except Exception as error:
        click.echo(f"note: {what}: {failures.as_failure(error)}", err=True)


@main.command(params=[FORMAT])
@click.argument("folder", type=folder)
@click.option("--commit", is_flag=True, help="also log the summary in the A/B's MLflow run")
@click.option("--run", "run_id", default=None, help="only the A/B measured under this MLflow run; the run is closed")
def ab(folder: Path, form_: str, commit: bool, run_id: str | None) -> None:
    """Compares the arms of the A/Bs in FOLDER and below it, whatever field they differ in."""
    from analysis import ab as comparisons
    from analysis import abrows, abtext, publish
    from analysis.tables import graphs

    with publish.closing(folder, run_id):
        paths = publish.paths_of(comparisons.paths_in(folder), run_id)
        compared, rejected = comparisons.read_all(paths)
        chosen_form = commands.chosen_form(form_)
        if chosen_form == commands.TEXT:
            content = abtext.text(compared, layout.width())
        else:
            rows = [abrows.summary(measured) for measured in compared]
            content = commands.text(rows, lambda: graphs.markdown(rows), chosen_form)
        click.echo(content, nl=False)
        for measured in compared if commit else ():
            click.echo(f"MLflow run {measured.manifest.title} ({publish.commit(measured, run_id)})", err=True)
        commands.print_omissions((), rejected)


@main.command(params=[commands.PAGE_FORMAT])
@click.option("--records", type=folder, default=RECORDS, show_default=True)
def coverage(records: Path, form_: str) -> None:
    """Simulates A/Bs with the noise of the records' sessions; prints coverage of the interval and verdicts."""
    from analysis import groups
    from analysis.sources.records import Folder
    from analysis.statistics import coverage as simulated
    from analysis.statistics import noise

    frame = Folder(records).frame([groups.WALL])
    report = simulated.report(noise.session_groups(frame))
    commands.print_page(report, simulated.markdown, form_)
    commands.print_omissions(frame.notes, frame.left_out)


@main.command(params=[commands.PAGE_FORMAT])
def tail_coverage(form_: str) -> None:
    """Simulates sessions with known tails; prints coverage of the bound on the probability of a missed deadline."""
    from analysis.statistics import tailcoverage

    commands.print_page(tailcoverage.report(), tailcoverage.markdown, form_)
