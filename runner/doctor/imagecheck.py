"""Containers: the engines that answer, and the images that they have for a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from runner.cell import catalogue
from runner.cell.catalogue import Gpu
from runner.cell.vocabulary import STACKS
from runner.doctor.finding import Finding, failed, note, ok
from runner.errors import BadValue, NoContainer
from runner.launch.container import engine, image
from runner.launch.container.engine import Engine

CONTAINER = "container"
PATIENCE_S = 3.0


@dataclass(frozen=True)
class Images:
    """The finding on containers, and whether an engine has an image of the GPU."""

    finding: Finding
    is_present: bool = False


def look(gpu: str) -> Images:
    """Returns which engine has which images of a GPU. Only a mistake in DECODE_FLOOR_ENGINE is a problem."""
    try:
        engines = engine.installed()
        if not engines:
            return Images(ok(CONTAINER, f"{_absence()}: cells are measured in this interpreter"))
        names = _names(catalogue.gpus().get(gpu))
    except BadValue as error:
        return Images(failed(CONTAINER, error))
    except NoContainer as error:
        return Images(note(CONTAINER, str(error)))
    answers = [_asked(replace(each, patience_s=PATIENCE_S), names) for each in engines]
    return next((answer for answer in answers if answer.is_present), answers[0])


def _absence() -> str:
    return f"{engine.VARIABLE}={engine.NONE} switches them off" if engine.is_off() else "no Docker or Podman on PATH"


def _names(entry: Gpu | None) -> list[str]:
    """Returns the names of a GPU's images, the default one first. Raises NoContainer if it has none."""
    return list(dict.fromkeys(_names_of(entry)))


def _names_of(entry: Gpu | None) -> Iterator[str]:
    yield image.name(entry, STACKS[0], STACKS)
    if entry is not None and entry.image != image.CPU:
        yield from (image.name(entry, stack, STACKS) for stack in STACKS[1:])


def _asked(client: Engine, names: list[str]) -> Images:
    try:
        present = [name for name in names if client.image(name) is not None]
    except NoContainer as error:
        return Images(note(CONTAINER, f"{error} (cells are measured in this interpreter meanwhile)"))
    if present:
        return Images(ok(CONTAINER, f"{client.name} has {', '.join(present)}"), is_present=True)
    absent = f"{client.name} has no image {names[0]}: cells are measured in this interpreter"
    return Images(note(CONTAINER, absent, image.make_target(names[0])))
