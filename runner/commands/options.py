"""Options of the commands that run sessions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from runner import registry
from runner.cell.vocabulary import AUTO
from runner.launch import process
from runner.plan.request import Request

Function = TypeVar("Function", bound=Callable[..., Any])

SESSIONS = click.IntRange(min=1)
ANY_PATH = click.Path(path_type=Path, readable=False)  # checked later, for a message that names its purpose
LONGEST_TIMEOUT_S = 7 * 24 * 3600
REQUEST_HELP = {
    "gpu": "the GPU's name in the catalogue (see `gpus`), or cpu",
    "model": "the model's name in the catalogue (see `models`)",
    "ctx": "tokens in the context",
    "quant": f"weight format: {', '.join(registry.format_names())}",
    "kernel": f"kernel that multiplies the weights: {', '.join(registry.kernel_names())}",
    "runtime": f"how a step is executed: {', '.join(registry.runtime_names())}",
    "cache": "KV cache: dynamic, static",
    "dtype": "bf16, fp16, fp32",
    "attention": "sdpa, flash-attn",
    "weights": "synthetic, hub, a folder of safetensors, or env:NAME for the folder in the variable NAME",
    "protocol": "paper (30 steps) or tail (300)",
    "steps": "timed steps instead of the protocol's",
    "warmup": "warm-up steps instead of the protocol's",
    "seed": "seed of the random prompt",
    "where": "here (this interpreter), container (required), or auto (a container if its image is present)",
    "device": "index or UUID of the GPU, if there are several",
    "study": "name of the session's study",
    "options": "options of the runtime: name:value,name:value",
    "stack": "pinned package versions: modern, paper",
}


def request_options(function: Function) -> Function:
    """Adds an option for each field of the request, in order."""
    for field in reversed(fields(Request)):
        option = click.option(f"--{field.name}", default=AUTO, show_default=True, help=REQUEST_HELP[field.name])
        function = option(function)
    return function


def _timeout(_context: click.Context, _option: click.Parameter, seconds: float) -> float:
    """Returns the timeout if the operating system can wait that long. Rejects NaN."""
    if not 0 < seconds <= LONGEST_TIMEOUT_S:
        raise click.BadParameter(f"{seconds:g} is not more than 0 and at most {LONGEST_TIMEOUT_S} seconds (7 days)")
    return seconds


def session_options(function: Function) -> Function:
    """Adds the options of running sessions."""
    options = (
        click.option("--spool", type=ANY_PATH, help="write the records here, and not into MLflow"),
        click.option(
            "--share-host", is_flag=True, help="do not wait for other sessions on this host; the record is flagged"
        ),
        click.option(
            "--timeout",
            type=float,
            callback=_timeout,
            default=process.DEFAULT_TIMEOUT_S,
            show_default=True,
            help="seconds after which a worker is stopped",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function
