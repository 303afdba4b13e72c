"""Commands of tables: one for each table in the registry, with the options that the table declares."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from analysis import form, outputs, pagetext, prices, registry, tabletext
from analysis.prices import Prices
from analysis.reading import Reading
from analysis.row import Row
from analysis.sources.selection import Selection
from analysis.table import Table
from runner import layout, terminal
from runner.cell.vocabulary import AUTO
from runner.counts import listed
from runner.errors import BadRecord, BadValue
from runner.program import Program, version_option

Rows = Sequence[Row]
Value = TypeVar("Value")

FORMATS = ("md", "csv", "json")
TEXT = "text"
"""The format of a table for a terminal."""
FIGURE = "file with --figure"
folder = click.Path(path_type=Path, readable=False)
file = click.Path(path_type=Path, dir_okay=False, readable=False)
SOURCE = (
    click.Option(
        ["--store"], default=None, help="MLflow tracking URI [default: MLFLOW_TRACKING_URI or sqlite:///mlflow.db]"
    ),
    click.Option(["--records"], type=folder, default=None, help="read this folder of record files instead of a store"),
)
"""Options that select the source."""
SELECTION = (
    *SOURCE,
    click.Option(["--gpu"], default=None, help="only this GPU"),
    click.Option(["--model"], default=None, help="only this model"),
    click.Option(["--study"], default=None, help="only this study"),
)
"""Options that select the source and its sessions."""
FIGURE_FILE = click.Option(["--figure"], type=file, help="also draw the table's first figure as an SVG file")


def _format(*forms: str) -> click.Option:
    help_ = "[default: text at a terminal, or else md]"
    return click.Option(["--format", "form_"], type=click.Choice((AUTO, TEXT, *forms)), default=AUTO, help=help_)


FORMAT, PAGE_FORMAT = _format(*FORMATS), _format("md", "json")
"""The formats of a command that prints rows, and of one that prints a page: `chosen_form`."""

PRICE = click.Option(
    ["--price"],
    multiple=True,
    metavar="GPU=DOLLARS",
    help="price of a GPU per hour instead of the catalogue's, such as l4=0.35; may be repeated",
)


class Commands(Program):
    """A group of commands: those declared in `cli`, and one for each table."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted({*super().list_commands(context), *(table.name for table in registry.tables())})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        declared = super().get_command(context, name)
        return declared or next((_command(table) for table in registry.tables() if table.name == name), None)


def _command(table: Table[Row]) -> click.Command:
    def run(
        form_: str,
        figure: Path | None = None,
        every_code: bool = False,
        price: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        own_prices = prices.parse(price)
        excerpts = [name for name in table.excerpts if options.pop(_variable(name))]
        if len(excerpts) > 1:
            chosen = listed([f"--{excerpt}" for excerpt in excerpts], "and")
            raise BadValue(f"{chosen} are parts of one table: name one of them, or none for all")
        name = excerpts[0] if excerpts else table.name
        make(selection(options), name, form_, every_code, figure, own_prices=own_prices)

    help_ = table.help or f"{table.title}."
    return version_option(click.Command(table.name, callback=run, params=_options(table), help=help_))


def _options(table: Table[Row]) -> list[click.Parameter]:
    codes = click.Option(
        ["--all", "every_code"], is_flag=True, help="also show sessions of older code, in separate rows"
    )
    excerpts = (click.Option([f"--{name}"], is_flag=True, help=text) for name, text in table.excerpts.items())
    return [
        *SELECTION,
        FORMAT,
        *([codes] if table.has_codes else []),
        *([FIGURE_FILE] if table.figures else []),
        *([PRICE] if table.priced else []),
        *excerpts,
    ]


def _variable(option: str) -> str:
    return option.replace("-", "_").lower()


def selection(options: dict[str, Any]) -> Selection:
    """Removes the options of `SELECTION` from a command's options and returns the selection that they describe."""
    return Selection.from_options(*(options.pop(name) for name in ("store", "records", "gpu", "model", "study")))


def chosen_form(form_: str) -> str:
    """Returns the format that was asked for, of `FORMAT`."""
    if form_ != AUTO:
        return form_
    return TEXT if sys.stdout.isatty() else "md"


def kept_form(form_: str) -> str:
    """Returns the format in which a run of MLflow keeps a result that is printed in this one."""
    return "md" if form_ == TEXT else form_


def text(rows: Rows, markdown: Callable[[], str], form_: str) -> str:
    """Returns rows in one of the `FORMATS`."""
    if form_ == "md":
        return markdown()
    return form.csv_text(rows) if form_ == "csv" else form.json_text(rows)


def print_page(value: Value, markdown: Callable[[Value], str], form_: str) -> None:
    """Prints the result of a simulation in one of the forms of `PAGE_FORMAT`."""
    chosen = chosen_form(form_)
    page = form.json_text(value) if chosen == "json" else markdown(value)
    click.echo(pagetext.text(page, layout.width()) if chosen == TEXT else page, nl=False)


def print_omissions(notes: Sequence[str], left_out: Sequence[str]) -> None:
    """Prints notes on the source and a line for each thing left out. Raises BadRecord if anything is left out."""
    for line in notes:
        click.echo(f"note: {line}", err=True)
    for line in left_out:
        click.echo(terminal.one_line(f"left out {line}"), err=True)
    if left_out:
        raise BadRecord(
            "files or runs are left out of the table: the lines above name each of them and its fault: "
            "restore or remove them, then run the command again"
        )


@dataclass(frozen=True)
class Result:
    """Rows of a table, the reading that they come from, and a line for each thing that was left out."""

    reading: Reading
    rows: Rows
    left_out: tuple[str, ...]


def read(table: Table[Row], selection: Selection, every_code: bool = False, own_prices: Prices = prices.NONE) -> Result:
    """Returns the rows of a table. Raises BadRecord if there are none and the table requires one."""
    frame = selection.compared(table.metrics) if table.only_compared else selection.frame(table.metrics)
    reading = Reading(frame, selection.source, every_code, own_prices)
    rows = table.rows(reading)
    left_out = (*frame.left_out, *(reading.unusable if table.only_compared else ()))
    if table.missing and not (rows or left_out):
        raise BadRecord(table.missing)
    return Result(reading, rows, left_out)


def make(
    selection: Selection,
    name: str,
    form_: str,
    every_code: bool = False,
    figure: Path | None = None,
    run_id: str | None = None,
    own_prices: Prices = prices.NONE,
) -> None:
    """Prints a table or an excerpt, draws it into `figure`, and logs it in the run that MLflow created.

    Raises BadRecord as `read` does, and if anything is left out.
    """
    table = registry.table(name)
    if figure is not None:
        check_figure(figure)
    result = read(table, selection, every_code, own_prices)
    forms = partial(_form, table, name, result.rows)
    chosen = chosen_form(form_)
    click.echo(forms(chosen), nl=False)
    if figure is not None:
        draw(table, result.rows, result.reading, figure)
    if run_id is not None:
        from analysis import publish

        kept = kept_form(chosen)
        publish.commit_table(name, forms("md"), {f"{name}.{kept}": forms(kept)}, run_id)
    notes = result.reading.frame.notes
    if table.tells_missing and selection.description:
        notes = (*notes, f"only sessions of {selection.description} were read: others may be recorded, too")
    print_omissions(notes, result.left_out)


def _form(table: Table[Row], name: str, rows: Rows, form_: str) -> str:
    """Returns the rows of a table, or of the excerpt with that name, in one of its forms."""
    if name == table.name:
        if form_ == TEXT:
            return tabletext.text(table, rows, layout.width())
        return text(rows, lambda: table.markdown(rows), form_)
    part = table.part(name, rows)
    return tabletext.part_text(part, layout.width()) if form_ == TEXT else text(part.rows, part.markdown, form_)


def check_figure(path: Path) -> None:
    """Raises BadValue if the name ends as that of another kind of picture, or if there is no folder for the file."""
    if path.suffix not in ("", ".svg"):
        raise BadValue(f"{path} would be an SVG file: give --figure a name that ends with .svg")
    try:
        os.stat(f"{path.parent}/.")  # fails for a file, too
    except OSError as error:
        raise outputs.write_error(error, path, FIGURE) from error


def draw(table: Table[Any], rows: Rows, reading: Reading | None, path: Path) -> None:
    """Draws the table's first figure, or prints a note if there is nothing to draw. Raises as `outputs.write_error`.

    Without a reading there is nothing to draw.
    """
    from analysis.figures.svg import svg

    drawn = None if reading is None else table.figures[0].draw(rows, reading)
    if drawn is None:
        click.echo(f"note: nothing to draw in {path}: no row of the table has the figure's values", err=True)
        return
    try:
        outputs.write(path, svg(drawn))
    except OSError as error:
        raise outputs.write_error(error, path, FIGURE) from error
