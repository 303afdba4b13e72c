"""The checks that need packages of the environment."""

from __future__ import annotations

from collections.abc import Iterator

from runner.cell.vocabulary import CPU, CUDA
from runner.doctor import cellcheck, hostuse, imagecheck, importable, leftruns, storecheck
from runner.doctor.finding import Finding
from runner.doctor.hardware import Look
from runner.launch.container import image


def findings(gpu: str, look: Look) -> Iterator[Finding]:
    """Yields the findings on host, kernels, containers, store, spool, open runs and the cell."""
    yield hostuse.finding()
    key, architecture = _image_of(look)
    yield importable.finding(CPU if look.card is None else CUDA, architecture)
    images = imagecheck.look(key)
    yield images.finding
    yield from storecheck.findings()
    yield leftruns.finding()
    yield cellcheck.finding(gpu, look, images.is_present)


def _image_of(look: Look) -> tuple[str, str | None]:
    """Returns the catalogue's name of the device, "" for a GPU that it lacks, and the architecture of its images."""
    if look.card is None:
        return CPU, image.CPU
    return ("", None) if look.entry is None else (look.entry.key, look.entry.image)
