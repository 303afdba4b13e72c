"""What CUDA_VISIBLE_DEVICES leaves of this machine's GPUs, read as CUDA reads it.

A list of which CUDA would make nothing is an error here: it must not turn a measurement of a GPU into one of the CPU.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from runner.errors import GpuNotFound

if TYPE_CHECKING:
    from runner.machine.nvml import InstalledGpu

VARIABLE = "CUDA_VISIBLE_DEVICES"
NO_FLOOR = "a slice of a card has no known bandwidth, and so no floor"
# CUDA takes the number that a word begins with
INDEX = re.compile(r"\+?(\d+)", re.ASCII)
UUID_PREFIX = "gpu-"


def hides_all() -> bool:
    """Does the person want no GPU? An empty value says so, and one that begins with -1."""
    text = os.environ.get(VARIABLE)
    return text is not None and (not text.strip(" \t,") or _words(text)[0] == "-1")


def hint() -> str:
    """A remark for a message that says what was found, where the variable may have hidden some."""
    text = os.environ.get(VARIABLE)
    return "" if text is None else f" ({VARIABLE}={text!r} may hide others)"


def is_slice(name: str) -> bool:
    """Is it the name of a MIG instance, in the form of today (MIG-<uuid>) or of old (MIG-GPU-<uuid>/<gi>/<ci>)?"""
    return name.upper().startswith("MIG-")


def chosen(installed: Sequence[InstalledGpu]) -> tuple[InstalledGpu, ...]:
    """The cards that the variable names, in its order, each once; all where it is not set.

    Raises GpuNotFound where it names none.
    """
    text = os.environ.get(VARIABLE)
    if text is None:
        return tuple(installed)
    named = tuple(dict.fromkeys(_named(installed, _words(text))))
    if not named:
        raise GpuNotFound(f"{VARIABLE}={text!r} {_fault(_words(text)[0], installed)}")
    return named


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _named(installed: Sequence[InstalledGpu], words: Sequence[str]) -> Iterator[InstalledGpu]:
    """As CUDA does, a word that names no card hides all after it."""
    for word in words:
        matching = _matching(installed, word)
        if len(matching) != 1:
            return
        yield matching[0]


def _matching(installed: Sequence[InstalledGpu], word: str) -> list[InstalledGpu]:
    """The cards of an index or of a UUID's beginning. Indices count along the PCI bus, as nvidia-smi's do and CUDA's
    under CUDA_DEVICE_ORDER=PCI_BUS_ID."""
    if index := INDEX.match(word):
        number = index.group(1).lstrip("0") or "0"  # as text: it may have thousands of digits
        return [gpu for gpu in installed if str(gpu.index) == number]
    return [gpu for gpu in installed if begins(word, gpu.uuid)]


def begins(word: str, uuid: str) -> bool:
    """Is it the beginning of the card's UUID, and more than what every card's begins with?"""
    start = word.lower()
    return start.startswith(UUID_PREFIX) and start != UUID_PREFIX and uuid.lower().startswith(start)


def _fault(word: str, installed: Sequence[InstalledGpu]) -> str:
    """Tells the fault of a list that begins with this word, and what to do."""
    if is_slice(word):
        return f"names a MIG instance: {NO_FLOOR}; name a whole card, or choose gpu=cpu"
    if not installed:
        return "names a GPU, and this machine has none: unset it, or choose gpu=cpu"
    what = "begins several UUIDs" if len(_matching(installed, word)) > 1 else "names no GPU of this machine"
    return f"{what} ({'; '.join(map(_presence, installed))}): give an index or a UUID, unset it, or choose gpu=cpu"


def _presence(gpu: InstalledGpu) -> str:
    return gpu.obstacle or f"gpu {gpu.index}: {gpu.name} {gpu.uuid}"
