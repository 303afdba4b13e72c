"""The command `predict`: predictions, their check against held-out records, and the fit of the constants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from analysis import commands
from analysis.commands import FORMAT, TEXT, chosen_form, folder
from analysis.prediction import constants as data
from runner import layout, registry
from runner.cell import vocabulary
from runner.errors import BadValue, NotAvailable

if TYPE_CHECKING:
    from analysis.prediction.observations import Observed
    from analysis.prediction.predicted import Prediction

RECORDS = Path("experiments/records")
OPTIONS = {
    "gpu": {"model", "ctx", "quant", "kernel", "runtime", "form_"},
    "constants": {"form_"},
    "check": {"records", "form_"},
    "fit": {"records"},
}
"""Option that says what to do → the options that go with it."""


@click.command(params=[FORMAT])
@click.option("--gpu", default=None, help="the GPU, as `python -m runner gpus` names it")
@click.option(
    "--model", default="qwen2.5-7b", show_default=True, help="the model, as `python -m runner models` names it"
)
@click.option("--ctx", type=int, default=2048, show_default=True, help="tokens in the KV cache")
@click.option("--quant", default=None, help="only this weight format")
@click.option("--kernel", default=None, help="only this kernel")
@click.option("--runtime", default=None, help="only this runtime")
@click.option("--constants", is_flag=True, help="print the constants of the model and where they come from")
@click.option("--check", is_flag=True, help="predict each record from the others, and print the errors")
@click.option("--fit", is_flag=True, help="fit the constants on the records and write their file")
@click.option("--records", type=folder, default=RECORDS, show_default=True, help="the records of --check and --fit")
@click.pass_context
def predict(
    context: click.Context,
    gpu: str | None,
    model: str,
    ctx: int,
    quant: str | None,
    kernel: str | None,
    runtime: str | None,
    constants: bool,
    check: bool,
    fit: bool,
    records: Path,
    form_: str,
) -> None:
    """Predicts the steps of a model on a GPU that need not be at hand, by constants fitted on committed records."""
    if constants + check + fit + (gpu is not None) != 1:
        raise BadValue("give exactly one of --gpu, --constants, --check and --fit")
    _check_options(context)
    chosen = chosen_form(form_)
    if gpu is not None:
        _print_predictions(gpu, model, ctx, {"quant": quant, "kernel": kernel, "runtime": runtime}, chosen)
    elif constants:
        _print_constants(chosen)
    elif check:
        _check(records, chosen)
    else:
        _fit(records)


def _check_options(context: click.Context) -> None:
    """Raises BadValue for an option that does not go with the one that says what to do."""
    given = {
        option.name: option.opts[0]
        for option in context.command.params
        if context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
    }
    (aim,) = given.keys() & OPTIONS.keys()
    if others := [words for name, words in given.items() if name != aim and name not in OPTIONS[aim]]:
        raise BadValue(f"{others[0]} does not go with {given[aim]}: leave it out")


def _print_predictions(gpu: str, model: str, ctx: int, wanted: dict[str, str | None], form_: str) -> None:
    from analysis.prediction import predictterminal, predicttext

    rows = _predictions(gpu, model, ctx, wanted)
    if form_ == TEXT:
        content = predictterminal.predictions(rows, layout.width())
    else:
        content = commands.text(rows, lambda: predicttext.predictions_text(rows), form_)
    click.echo(content, nl=False)


def _predictions(gpu: str, model: str, ctx: int, wanted: dict[str, str | None]) -> list[Prediction]:
    """Returns the predictions of the wanted configurations, those that fit first, then the fastest.

    Raises as `predicted.predictions`, UnknownName, and NotAvailable without constants.
    """
    from analysis.prediction import predicted

    names = {"quant": registry.format_names(), "kernel": registry.kernel_names(), "runtime": registry.runtime_names()}
    chosen = {field: value for field, value in wanted.items() if value is not None}
    for field, value in chosen.items():
        vocabulary.checked_name(field, value, names[field])
    rows = predicted.predictions([gpu], model, ctx)
    found = [row for row in rows if all(row.value(field) == value for field, value in chosen.items())]
    if not found:
        words = " ".join(f"{field}={value}" for field, value in chosen.items())
        covered = sorted({f"{row.quant} {row.kernel} {row.runtime}" for row in rows})
        raise NotAvailable(f"no constants for {words} on {gpu}: no record has it; covered are {', '.join(covered)}")
    return sorted(found, key=lambda row: (row.fits is False, row.step_ms))


def _print_constants(form_: str) -> None:
    from analysis import form
    from analysis.prediction import constantstext

    if form_ == "csv":
        raise BadValue("--constants has several tables, which CSV cannot hold: use --format md or json")
    known = data.committed()
    if form_ == TEXT:
        content = constantstext.constants_at_terminal(known, layout.width())
    else:
        content = form.json_text(known) if form_ == "json" else constantstext.constants_text(known)
    click.echo(content, nl=False)


def _check(records: Path, form_: str) -> None:
    from analysis.prediction import heldout, predictterminal, predicttext

    observed = _observed(records)
    found = heldout.check(observed.rows)
    if form_ == TEXT:
        content = predictterminal.check(found, layout.width())
    else:
        content = commands.text(found.rows, lambda: predicttext.check_text(found), form_)
    click.echo(content, nl=False)
    commands.print_omissions(observed.notes, observed.left_out)


def _fit(records: Path) -> None:
    from analysis import outputs
    from analysis.prediction import residuals

    observed = _observed(records)
    commands.print_omissions(observed.notes, observed.left_out)  # constants are fitted on all records or on none
    fitted = residuals.constants(observed.rows)
    try:
        outputs.write(data.PATH, data.text(fitted).encode())
    except OSError as error:
        raise outputs.write_error(error, data.PATH, "file of constants") from error
    click.echo(data.PATH)


def _observed(records: Path) -> Observed:
    """Returns the observations of a folder. Raises BadValue if there is none."""
    from analysis.prediction import observations

    observed = observations.observed(records)
    if not observed.rows:
        raise BadValue(f"{records}: no valid record of a catalogued GPU there: name another folder with --records")
    return observed
