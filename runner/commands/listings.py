"""Commands that list the catalogue: `gpus` and `models`."""

from __future__ import annotations

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
from runner.plan import cards

MARK, NO_MARK = "* ", "  "
GPU_HEADER = (f"{NO_MARK}gpu", "bandwidth", "memory", "image", "name")
GPU_NUMERIC = ("bandwidth", "memory")
MODEL_HEADER = (f"{NO_MARK}model", "layers", "hidden", "heads/kv", "max ctx", "hub checkpoints")
MODEL_NUMERIC = MODEL_HEADER[1:-1]
UNKNOWN = "?"


@click.command("gpus")
@json_option
@click.pass_obj
def list_gpus(start: Start, as_json: bool) -> None:
    """Lists the catalogue's GPUs. `*` marks those in this machine, `!` an installed card that cannot be measured."""
    here = _gpus_here() or ()
    installed = {cards.gpu_key(card): card.name for card in here if card.obstacle is None}
    obstacles = [card.obstacle for card in here if card.obstacle is not None]
    if as_json:
        start.result.update(to_json(objects.gpus(installed, obstacles)))
        return
    known = catalogue.gpus()
    listed = [_gpu_row(entry, entry.key in installed or entry.key == CPU) for entry in known.values()]
    others = [
        (f"{MARK}{key}", *(UNKNOWN,) * 2, "none", f"{name} (not in the catalogue: no r_floor)")
        for key, name in installed.items()
        if key not in known
    ]
    for line in layout.aligned([GPU_HEADER, *listed, *others], GPU_NUMERIC, layout.width()):
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


def _gpu_row(entry: Gpu, is_here: bool) -> tuple[str, ...]:
    figures = _figure(entry.bandwidth_gbs, "GB/s"), _figure(entry.memory_gb, "GB")
    return f"{MARK if is_here else NO_MARK}{entry.key}", *figures, entry.image or "none", entry.name


def _figure(figure: catalogue.Figure, unit: str) -> str:
    return UNKNOWN if figure.value is None else f"{figure.value:g} {unit}"


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
