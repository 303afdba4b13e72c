"""Options of the commands that run sessions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from runner import registry
from runner.cell.protocol import NAMED
from runner.cell.vocabulary import AUTO, ON, plain_token
from runner.launch import process
from runner.plan import fieldvalues
from runner.plan.request import Request, whole_number

Function = TypeVar("Function", bound=Callable[..., Any])

ANY_PATH = click.Path(path_type=Path, readable=False)  # checked later, for a message that names its purpose
LONGEST_TIMEOUT_S = 7 * 24 * 3600
SESSION_TIMEOUT = (
    f"{process.DEFAULT_TIMEOUT_S:g}, or {process.STEP_TIMEOUT_S:g} for each step of the wall pass if that is more"
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="print one JSON object (docs/json.md) and nothing else"
)


def count_option(name: str, least: int, default: int, text: str) -> Callable[[Function], Function]:
    """Returns an option whose value is a whole number of at least `least`, checked like those of the request."""

    def checked(_context: click.Context, option: click.Parameter, value: str) -> int:
        field = str(option.name)
        return whole_number(field, plain_token(field, value), least)

    return click.option(
        name, type=str, metavar="INTEGER", default=str(default), show_default=True, callback=checked, help=text
    )


def _options() -> str:
    """Returns the options of runtimes and formats with their values, as the help shows them."""
    runtimes = (declared.options for declared in registry.runtime_declarations())
    formats = (registry.weight_format(name).DECLARATION.options for name in registry.format_names())
    values = {name: values for options in (*runtimes, *formats) for name, values in options.items()}
    return "; ".join(f"{name}:{'|'.join(values[name])}" for name in values)


LISTED = ("quant", "kernel", "runtime", "cache", "dtype", "attention", "stack")
"""Fields whose help lists their values."""
REQUEST_HELP = {
    **fieldvalues.DESCRIPTIONS,
    **{name: f"{fieldvalues.DESCRIPTIONS[name]}: {', '.join(fieldvalues.WORDS[name]())}" for name in LISTED},
    **{name: f"{fieldvalues.DESCRIPTIONS[name]}: on (also without a value) or off" for name in fieldvalues.SWITCHES},
    "protocol": ", ".join(f"{name} ({counts.timed})" for name, counts in NAMED.items()),
    "options": f"{fieldvalues.DESCRIPTIONS['options']}: {_options()}",
}


def request_options(function: Function) -> Function:
    """Adds an option for each field of the request, in order."""
    for field in reversed(fields(Request)):
        switch: dict[str, Any] = {"is_flag": False, "flag_value": ON} if field.name in fieldvalues.SWITCHES else {}
        option = click.option(
            f"--{field.name.replace('_', '-')}",
            default=AUTO,
            show_default=True,
            help=REQUEST_HELP[field.name],
            **switch,
        )
        function = option(function)
    return function


def _timeout(_context: click.Context, _option: click.Parameter, seconds: float | None) -> float | None:
    """Returns the timeout, if one is given and the operating system can wait that long. Rejects NaN."""
    if seconds is not None and not 0 < seconds <= LONGEST_TIMEOUT_S:
        raise click.BadParameter(f"{seconds:g} must be more than 0 and at most {LONGEST_TIMEOUT_S} seconds (7 days)")
    return seconds


def timeout_option(default: float | None, shown: bool | str) -> Callable[[Function], Function]:
    """Returns the option `--timeout`, whose help shows its default, as it is or in these words."""
    return click.option(
        "--timeout",
        type=float,
        callback=_timeout,
        default=default,
        show_default=shown,
        help="seconds after which a worker is stopped",
    )


def session_options(function: Function) -> Function:
    """Adds the options of running sessions."""
    options = (
        click.option("--spool", type=ANY_PATH, help="write the records here, and not into MLflow"),
        click.option(
            "--share-host", is_flag=True, help="do not wait for other sessions on this host; the record is flagged"
        ),
        timeout_option(None, SESSION_TIMEOUT),
    )
    for option in reversed(options):
        function = option(function)
    return function
