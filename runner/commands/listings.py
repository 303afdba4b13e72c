"""Commands that list the catalogue: `gpus` and `models`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import click

from runner import layout
from runner.cell import catalogue
from runner.cell.catalogue import Gpu, Model
from runner.cell.jsonform import to_json
from runner.cell.vocabulary import CPU
from runner.commands import objects
from runner.commands.options import json_option
from runner.commands.start import Start
from runner.errors import GpuNotFound, MissingPackage
from runner.machine import nvml
from runner.plan import cards, gpufloors
from runner.plan.gpufloors import Step

MARK, NO_MARK = "* ", "  "
GPU_HEADER = (f"{NO_MARK}gpu", "bandwidth", "memory", "power", "image", "name")
FLOOR_HEADER = (f"{NO_MARK}gpu", "bandwidth", *(f"{quant} ms" for quant in gpufloors.QUANTS), "memory", "name")
GPU_NUMERIC = {*GPU_HEADER[1:4], *FLOOR_HEADER[1:5]}
FLOOR_MEANING = (
    "bytes that it must read / bandwidth; gptq = 4 bits in groups of 128; this does not say whether the model fits "
    "into the memory"
)
MODEL_HEADER = (f"{NO_MARK}model", "layers", "hidden", "heads/kv", "max ctx", "hub checkpoints")
MODEL_NUMERIC = MODEL_HEADER[1:-1]
UNKNOWN, NO_IMAGE = "?", "none"


@click.command("gpus")
@click.option("--model", default=None, help="also show the memory floor of this model's step on each GPU")
@click.option("--ctx", default=None, help=f"context length of that step in tokens [default: {gpufloors.DEFAULT_CTX}]")
@json_option
@click.pass_obj
def list_gpus(start: Start, model: str | None, ctx: str | None, as_json: bool) -> None:
    """Lists the catalogue's GPUs. `*` marks those in this machine, `!` an installed card that cannot be measured."""
    step = gpufloors.step(model, ctx)
    here = _gpus_here() or ()
    installed = {cards.gpu_key(card): card.name for card in here if card.obstacle is None}
    obstacles = [card.obstacle for card in here if card.obstacle is not None]
    if as_json:
        start.result.update(to_json(objects.gpus(installed, obstacles, step)))
        return
    known = catalogue.gpus()
    header = GPU_HEADER if step is None else FLOOR_HEADER
    listed = [_gpu_row(entry, entry.key in installed or entry.key == CPU, step) for entry in known.values()]
    others = [_other_row(key, name, header) for key, name in installed.items() if key not in known]
    for line in layout.aligned([header, *listed, *others], GPU_NUMERIC, layout.width()):
        click.echo(line)
    for remark in _remarks(step):
        for line in textwrap.wrap(f"({remark})", layout.width(), break_long_words=False, break_on_hyphens=False):
            click.echo(line)
    click.echo(f"({MARK}= in this machine)")
    for obstacle in obstacles:
        click.echo(f"! {obstacle}")


def _gpus_here() -> nvml.Gpus | None:
    """Returns the usable GPUs. If they cannot be listed, warns and returns None, because the catalogue can still be
    shown."""
    try:
        return nvml.list_gpus()
    except (GpuNotFound, MissingPackage) as error:
        click.echo(f"warning: {error}", err=True)
        return None


def _gpu_row(entry: Gpu, is_here: bool, step: Step | None) -> tuple[str, ...]:
    key = f"{MARK if is_here else NO_MARK}{entry.key}"
    bandwidth = _amount(entry.bandwidth_gbs.value, "GB/s")
    memory = _amount(entry.memory_gb.value, "GB")
    if step is None:
        return key, bandwidth, memory, _amount(entry.power_w.value, "W"), entry.image or NO_IMAGE, entry.name
    floors = (UNKNOWN if floor_ms is None else f"{floor_ms:.1f}" for floor_ms in step.floors_ms(entry).values())
    return key, bandwidth, *floors, memory, entry.name


def _other_row(key: str, name: str, header: Sequence[str]) -> tuple[str, ...]:
    """Returns the row of an installed card that the catalogue lacks."""
    figures = (NO_IMAGE if title == "image" else UNKNOWN for title in header[1:-1])
    return f"{MARK}{key}", *figures, f"{name} (not in the catalogue: no r_floor)"


def _amount(value: float | None, unit: str) -> str:
    return UNKNOWN if value is None else f"{value:g} {unit}"


def _remarks(step: Step | None) -> Iterator[str]:
    """Yields which GPUs share their memory, and with a step, what its floor means and where nothing was run."""
    known = catalogue.gpus().values()
    if shared := [entry.key for entry in known if entry.shared_memory]:
        yield f"memory shared with the CPU: {', '.join(shared)}"
    if step is None:
        return
    yield f"ms: memory floor of a step of {step.model.key} at ctx {step.ctx}: {FLOOR_MEANING}"
    if untried := [entry.key for entry in known if entry.image is None]:
        yield f"untried, since no image runs there: {', '.join(untried)}"


@click.command("models")
@json_option
@click.pass_obj
def list_models(start: Start, as_json: bool) -> None:
    """Lists the models of the catalogue. `*` marks the one that `auto` selects on this machine."""
    here = _gpus_here()
    chosen = None if here is None else cards.default_model(here)
    if as_json:
        start.result.update(to_json(objects.models(chosen)))
    else:
        rows = [_model_row(model, model.key == chosen) for model in catalogue.models().values()]
        for line in layout.aligned([MODEL_HEADER, *rows], MODEL_NUMERIC, layout.width()):
            click.echo(line)
        if chosen is not None:
            click.echo(f"({MARK}= selected by auto on this machine)")
    for card in here or ():
        if card.obstacle is not None:
            click.echo(f"warning: {card.obstacle}", err=True)


def _model_row(model: Model, is_chosen: bool) -> tuple[str, ...]:
    shape = model.shape
    sizes = f"{shape.layers}", f"{shape.hidden}", f"{shape.heads}/{shape.kv_heads}", f"{shape.max_positions}"
    return f"{MARK if is_chosen else NO_MARK}{model.key}", *sizes, ", ".join(model.checkpoints) or "none"
