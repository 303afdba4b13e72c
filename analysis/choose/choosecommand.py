"""The command `choose`. Each of its options takes a value, since it is also a parameter of `mlflow run`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analysis import commands
from analysis.choose.limits import DEFAULT_DEADLINE_MS
from analysis.choose.scope import CTX, MODEL
from runner import layout
from runner.cell.vocabulary import AUTO

if TYPE_CHECKING:
    from analysis.choose.chooserow import ChooseRow
    from analysis.choose.limits import Limits

ON, OFF = "on", "off"
OPTIONS: tuple[click.Option, ...] = (
    click.Option(["--deadline-ms"], default=f"{DEFAULT_DEADLINE_MS:g}", show_default=True, help="the deadline in ms"),
    click.Option(["--tokens"], default="1", show_default=True, help="consecutive tokens that the deadline is for"),
    click.Option(
        ["--miss"], default=AUTO, help="largest probability of missing the deadline, such as 0.001 [default: no limit]"
    ),
    click.Option(["--usd-per-mtok"], default=AUTO, help="largest price of a million tokens in $ [default: no limit]"),
    click.Option(["--joules-per-token"], default=AUTO, help="largest energy per token in J [default: no limit]"),
    click.Option(["--model"], default=AUTO, help=f"the model [default: {MODEL}]"),
    click.Option(["--ctx"], default=AUTO, help=f"the context length in tokens [default: {CTX}]"),
    click.Option(["--gpu"], default=AUTO, help="GPUs, with commas between them [default: all]"),
    click.Option(
        ["--price"],
        multiple=True,
        default=[AUTO],
        metavar="GPU=DOLLARS",
        help="price of a GPU per hour, such as l4=0.35; may be repeated [default: the catalogue's]",
    ),
    click.Option(
        ["--prefill"],
        is_flag=False,
        flag_value=ON,
        default=OFF,
        type=click.Choice((ON, OFF)),
        help="also show the recorded time to the first token",
    ),
)
FIGURE = click.Option(
    ["--figure"],
    type=commands.file,
    help="also draw the distribution of steps, with the deadline, as an SVG file",
)


@click.command(params=[*OPTIONS, *commands.SOURCE, commands.FORMAT, FIGURE])
def choose(
    form_: str, prefill: str, figure: Path | None, store: str | None, records: Path | None, **asked: Any
) -> None:
    """Lists the configurations of a model by whether they meet a deadline: measured here, published, or predicted.

    The exit code is 28 if none meets it, and 29 if some only lack the data to tell.
    """
    from analysis import publish
    from analysis.choose import answer, shortfall
    from analysis.tables.choose import TABLE

    chosen_form = commands.chosen_form(form_)
    with publish.entry(TABLE.name) as run_id:
        question = answer.asked(**asked)
        if figure is not None:
            commands.check_figure(figure)
        found = answer.answer(store, records, question)
        forms = partial(_choice, found.rows, question.limits, prefill == ON)
        click.echo(forms(chosen_form), nl=False)
        if figure is not None:
            commands.draw(TABLE, found.rows, found.reading, figure)
        if run_id is not None:
            kept = commands.kept_form(chosen_form)
            publish.commit_table(TABLE.name, forms("md"), {f"{TABLE.name}.{kept}": forms(kept)}, run_id)
        commands.print_omissions(found.notes, found.left_out)
        shortfall.check(found.rows, question.limits)


def _choice(rows: Sequence[ChooseRow], limits: Limits, prefill: bool, form_: str) -> str:
    """Returns the rows of `choose` in one of its forms."""
    from analysis.choose import choosetext
    from analysis.tables import choose as table

    if form_ == commands.TEXT:
        return choosetext.text(rows, (table.result(rows, limits), *table.sentences(rows)), prefill, layout.width())
    return commands.text(rows, lambda: table.markdown(rows, limits, prefill), form_)
