"""The command `bench`: several runtimes of one model, in turns in one process."""

from __future__ import annotations

import time
from pathlib import Path

import click

from runner import display
from runner.bench import entrants, starting
from runner.bench.lines import lines
from runner.cell.vocabulary import AUTO, CPU
from runner.commands.options import ANY_PATH, REQUEST_HELP, timeout_option
from runner.commands.start import Start
from runner.errors import InvalidSession
from runner.launch.process import DEFAULT_TIMEOUT_S
from runner.machine import nvml
from runner.plan.request import Request

FOLDER = Path("bench")
RUNTIMES = "eager,graph,compile,fused"


@click.command()
@click.option("--gpu", default=AUTO, show_default=True, help=REQUEST_HELP["gpu"])
@click.option("--device", default=AUTO, show_default=True, help=REQUEST_HELP["device"])
@click.option("--model", default=AUTO, show_default=True, help=REQUEST_HELP["model"])
@click.option("--ctx", default=AUTO, show_default=True, help=REQUEST_HELP["ctx"])
@click.option("--runtimes", default=RUNTIMES, show_default=True, help="runtimes to compare")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="passes of each runtime")
@click.option("--steps", default="64", show_default=True, help="timed steps of a pass")
@click.option("--out", type=ANY_PATH, help=f"write the result here [default: {FOLDER}/GPU-MODEL-CTX-TIME.json]")
@timeout_option(DEFAULT_TIMEOUT_S, True)
@click.pass_obj
def bench(
    start: Start,
    /,
    gpu: str,
    device: str,
    model: str,
    ctx: str,
    runtimes: str,
    rounds: int,
    steps: str,
    out: Path | None,
    timeout: float,
) -> None:
    """Compares runtimes of one model in one process, in turns. The result is no record and has no verdict."""
    names = entrants.names(runtimes)
    request = Request(gpu=gpu, device=device, model=model, ctx=ctx, steps=steps)
    order = entrants.assign(request, names, rounds, () if gpu == CPU else nvml.list_gpus(), start.ms)
    cell = order.jobs[0].cell
    path = out or FOLDER / f"{cell.gpu}-{cell.model}-{cell.ctx}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    starting.check_result(path)
    shown = display.choose()
    with shown.session(f"{cell.model} {cell.ctx} {cell.gpu}: {', '.join(order.runtimes)}", None):
        found = starting.run(order, path, timeout, shown.phase, shown.note)
    for line in lines(found):
        click.echo(line)
    click.echo(f"result in {path}, which is no record")
    failed = [each.runtime for each in found.entries if each.speed is None]
    if failed:
        raise InvalidSession(f"{len(failed)} of {len(found.entries)} runtimes have no speed: {', '.join(failed)}")
