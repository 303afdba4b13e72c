"""Commands that list the catalogue: `gpus` and `models`."""

from __future__ import annotations

import click

from runner.cell import catalogue
from runner.cell.vocabulary import CPU
from runner.commands import objects
from runner.commands.options import json_option
from runner.errors import GpuNotFound, MissingPackage
from runner.machine import nvml
from runner.plan import cards


@click.command("gpus")
@json_option
def list_gpus(as_json: bool) -> None:
    """Lists the catalogue's GPUs. `*` marks those in this machine, `!` an installed card that cannot be measured."""
    here = _gpus_here() or ()
    installed = {cards.gpu_key(card): card.name for card in here if card.obstacle is None}
    obstacles = [card.obstacle for card in here if card.obstacle is not None]
    if as_json:
        objects.print_json(objects.gpus(installed, obstacles))
        return
    for entry in catalogue.gpus().values():
        figures = (
            _figure(entry.bandwidth_gbs, "GB/s"),
            _figure(entry.memory_gb, "GB"),
            entry.image or "no image",
        )
        mark = "*" if entry.key in installed or entry.key == CPU else " "
        click.echo(f"{mark} {entry.key:14} {entry.name:48} {figures[0]:>10} {figures[1]:>8}  {figures[2]}")
    for key, name in installed.items():
        if key not in catalogue.gpus():
            click.echo(f"* {key:14} {name}: not in the catalogue, measured without r_floor")
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


def _figure(figure: catalogue.Figure, unit: str) -> str:
    return "?" if figure.value is None else f"{figure.value:g} {unit}"


@click.command("models")
@json_option
def list_models(as_json: bool) -> None:
    """Lists the models of the catalogue. `*` marks the one that `auto` selects on this machine."""
    here = _gpus_here()
    chosen = None if here is None else cards.default_model(here)
    if as_json:
        objects.print_json(objects.models(chosen))
    for key, model in () if as_json else catalogue.models().items():
        shape, mark = model.shape, "*" if key == chosen else " "
        checkpoints = ", ".join(model.checkpoints) or "none"
        click.echo(
            f"{mark} {key:14} {shape.layers} layers x {shape.hidden}, {shape.heads}/{shape.kv_heads} heads, "
            f"ctx up to {shape.max_positions}; hub checkpoints: {checkpoints}"
        )
    for card in here or ():
        if card.obstacle is not None:
            click.echo(f"warning: {card.obstacle}", err=True)
