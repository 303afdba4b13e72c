"""The command line: it parses, and calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from analysis.sources.selection import Asked
from analysis.tables import form
from runner import terminal
from runner.cell import vocabulary
from runner.errors import BadRecord, Usage
from runner.record.spool import DEFAULT_SPOOL
from runner.redaction import credentials

if TYPE_CHECKING:
    from analysis.sources.frame import Frame

Function = TypeVar("Function", bound=Callable[..., Any])
Rows = list[dict[str, Any]]

FORMATS = ("md", "csv", "json")
folder = click.Path(path_type=Path, readable=False)
file = click.Path(path_type=Path, dir_okay=False, readable=False)


@click.group()
def main() -> None:
    """Tables from an MLflow store (the embedded one, unless --store names another) or straight from record files."""


def run() -> None:
    """Run one command. Raises the errors of the family, and SystemExit: click's own of a command line that cannot be
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


def _asks(function: Function) -> Function:
    """Where the sessions are, and which of them."""
    options = (
        click.option(
            "--store", default=None, help="MLflow tracking URI [default: MLFLOW_TRACKING_URI or sqlite:///mlflow.db]"
        ),
        click.option("--records", type=folder, default=None, help="a folder of record files, instead of a store"),
        click.option("--gpu", default=None, help="only this GPU"),
        click.option("--model", default=None, help="only this model"),
        click.option("--study", default=None, help="only this study"),
    )
    for option in reversed(options):
        function = option(function)
    return function


def _asked(options: dict[str, Any]) -> Asked:
    """Takes the options of `_asks` out of a command's."""
    return Asked.of(*(options.pop(name) for name in ("store", "records", "gpu", "model", "study")))


def _formatted(function: Function) -> Function:
    return click.option("--format", "form_", type=click.Choice(FORMATS), default="md", show_default=True)(function)


def _every_code(function: Function) -> Function:
    return click.option(
        "--all", "every_code", is_flag=True, help="also the sessions of older code, in rows of their own"
    )(function)


def _figure(function: Function) -> Function:
    return click.option("--figure", type=file, help="also draw it, as a PNG file")(function)


def _out(function: Function) -> Function:
    return click.option("--out", type=folder, default=Path("report"), show_default=True, help="folder of its files")(
        function
    )


def _text(rows: Rows, words: Callable[[Rows], str], form_: str) -> str:
    texts: dict[str, Callable[[Rows], str]] = {"md": words, "csv": form.csv_text, "json": form.json_text}
    return texts[form_](rows)


def _tell(notes: Sequence[str], left_out: Sequence[str]) -> None:
    """Raises BadRecord when anything that should be in the table is not."""
    for line in notes:
        click.echo(f"note: {line}", err=True)
    for line in left_out:
        click.echo(terminal.one_line(f"left out {line}"), err=True)
    if left_out:
        raise BadRecord(
            "files or runs are left out of the table: the lines above say which, and what is wrong with them"
        )


@main.command()
@_asks
@_formatted
@_every_code
@click.option("--ranges", is_flag=True, help="instead, range and median of each GPU's unquantised cells")
def floor(form_: str, every_code: bool, ranges: bool, **options: Any) -> None:
    """How far each cell is from its memory floor. Records that `runner verify` rejects are named and left out."""
    _make_table(_asked(options), "ranges" if ranges else "floor", form_, every_code)


@main.command()
@_asks
@_formatted
@_every_code
@_figure
def graphs(form_: str, every_code: bool, figure: Path | None, **options: Any) -> None:
    """What a CUDA graph is worth: every A/B between runtimes, with interval and verdict."""
    _make_table(_asked(options), "graphs", form_, every_code, figure)


@main.command()
@_asks
@_formatted
@_every_code
@_figure
def quant(form_: str, every_code: bool, figure: Path | None, **options: Any) -> None:
    """What quantised weights save: by their bytes, and by the clock."""
    _make_table(_asked(options), "quant", form_, every_code, figure)


@main.command()
@_asks
@_formatted
@_every_code
def budget(form_: str, every_code: bool, **options: Any) -> None:
    """Where a step's time goes, in terms that add up to it, and what would remove the largest."""
    _make_table(_asked(options), "budget", form_, every_code)


@main.command()
@_asks
@_formatted
def paper(form_: str, **options: Any) -> None:
    """Every figure of the paper beside ours: reproduced, different (and the likely reason) or not measured."""
    _make_table(_asked(options), "paper", form_)


def _make_table(
    asked: Asked,
    name: str,
    form_: str,
    every_code: bool = False,
    figure: Path | None = None,
    run_id: str | None = None,
) -> None:
    """Print a table, draw it into `figure`, and log it into the run that MLflow made for it."""
    from analysis.tables import named

    table = named.TABLES[name]
    frame = asked.compared(table.asked) if table.only_compared else asked.frame(table.asked)
    rows, unusable = table.rows(frame, every_code)
    text = _text(rows, table.words, form_)
    click.echo(text, nl=False)
    if figure is not None:
        _draw(name, frame, rows, figure)
    if run_id is not None:
        from analysis import publish

        publish.commit_table(name, table.words(rows), {f"{name}.{form_}": text}, run_id)
    _tell(frame.notes, (*frame.left_out, *unusable))


def _draw(name: str, frame: Frame, rows: Rows, path: Path) -> None:
    """Tells where there is nothing to draw. Raises BadValue where the file cannot be written."""
    from analysis import ab as comparisons
    from analysis import outputs
    from analysis import paper as of_paper
    from analysis.figures import graphs as of_graphs
    from analysis.figures import quant as of_quant
    from analysis.figures import style

    if name == "graphs":
        drawn = of_graphs.draw(comparisons.of_frame(frame)[0], rows, of_paper.graphs_rows())
    else:
        drawn = of_quant.draw(rows)
    if drawn is None:
        click.echo(f"note: nothing to draw in {path}: no row of the table has what the figure shows", err=True)
        return
    try:
        outputs.write(path, style.png(drawn))
    except OSError as error:
        raise outputs.unwritten(error, path, "file") from error


@main.command()
@_asks
@_out
def report(out: Path, **options: Any) -> None:
    """All of it as one page, which loads nothing: tables, figures, and where each number comes from. Of a store it is
    kept in a run there, too."""
    from analysis import publish

    with publish.entry(publish.REPORT) as run_id:
        _make_report(_asked(options), out, run_id)


@main.command()
@_asks
@_formatted
@_out
@click.option("--table", default="report", show_default=True, help="one of the tables, or report")
def tables(table: str, form_: str, out: Path, **options: Any) -> None:
    """What `mlflow run . -e tables` runs: the report, or one table. Under MLflow it is kept in the run made for it."""
    from analysis import publish
    from analysis.tables import named

    with publish.entry(table) as run_id:
        if vocabulary.known("table", table, (*named.TABLES, publish.REPORT)) == publish.REPORT:
            _make_report(_asked(options), out, run_id)
        else:
            _make_table(_asked(options), table, form_, run_id=run_id)


def _make_report(asked: Asked, out: Path, run_id: str | None) -> None:
    from analysis import publish
    from analysis.report import contents, files

    found = contents.contents(asked)
    if found.frame.sessions.is_empty():  # there is only what is wrong to tell, which `_tell` raises
        _tell(found.frame.notes, found.left_out)
    made = files.files(found)
    files.write(made, out)
    click.echo(os.path.abspath(out / files.PAGE))
    if asked.uri is not None:
        run = publish.commit_report(found.answers, made, run_id, asked.uri)
        click.echo(f"MLflow run {publish.REPORT} ({run})", err=True)
    _tell(found.frame.notes, found.left_out)


@main.command()
@click.argument("folder", type=folder)
@_formatted
@click.option("--commit", is_flag=True, help="also write it into the A/B's run in MLflow")
@click.option("--run", "run_id", default=None, help="only the A/B measured under this run of MLflow's, which is closed")
def ab(folder: Path, form_: str, commit: bool, run_id: str | None) -> None:
    """Compare the arms of the A/Bs in FOLDER (and below it), whatever they differ in."""
    from analysis import ab as comparisons
    from analysis import publish
    from analysis.tables import graphs as table

    with publish.closing(folder, run_id):
        paths = publish.paths_of(comparisons.paths_in(folder), run_id)
        found, rejected = comparisons.read_all(paths)
        click.echo(_text([comparisons.summary(one) for one in found], table.markdown, form_), nl=False)
        for one in found if commit else ():
            click.echo(f"MLflow run {one.manifest.title} ({publish.commit(one, run_id)})", err=True)
        _tell((), rejected)


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
    _tell(frame.notes, frame.left_out)
