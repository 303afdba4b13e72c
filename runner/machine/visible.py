"""The GPUs that CUDA_VISIBLE_DEVICES leaves visible, by CUDA's rules.

A list without a valid card is an error: a GPU measurement must not become a CPU measurement.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from runner.errors import GpuNotFound

if TYPE_CHECKING:
    from runner.machine.installedgpu import InstalledGpu

VARIABLE = "CUDA_VISIBLE_DEVICES"
NO_FLOOR = "a slice of a card has no known bandwidth, and so no floor"
# CUDA reads the number at the start of a word
INDEX = re.compile(r"\+?(\d+)", re.ASCII)
UUID_PREFIX = "gpu-"


def hides_all() -> bool:
    """Returns whether the variable hides all GPUs: it is empty or begins with -1."""
    text = os.environ.get(VARIABLE)
    return text is not None and (not text.strip(" \t,") or _words(text)[0] == "-1")


def hint() -> str:
    """Returns a remark that the variable may hide GPUs, or "" if it is not set."""
    text = os.environ.get(VARIABLE)
    return "" if text is None else f" ({VARIABLE}={text!r} may hide others)"


def is_slice(name: str) -> bool:
    """Returns whether a name is a MIG instance's: MIG-<uuid>, or formerly MIG-GPU-<uuid>/<gi>/<ci>."""
    return name.upper().startswith("MIG-")


def visible_gpus(installed: Sequence[InstalledGpu]) -> tuple[InstalledGpu, ...]:
    """Returns the cards that the variable names, in its order, each once; all cards if it is not set.

    Raises GpuNotFound if it names none.
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
    """Yields the named cards. As in CUDA, an invalid word hides all cards after it."""
    for word in words:
        matching = _matching(installed, word)
        if len(matching) != 1:
            return
        yield matching[0]


def _matching(installed: Sequence[InstalledGpu], word: str) -> list[InstalledGpu]:
    """Returns the cards with this index or UUID prefix.

    Indices follow PCI bus order, as in nvidia-smi, and in CUDA with CUDA_DEVICE_ORDER=PCI_BUS_ID.
    """
    if index := INDEX.match(word):
        number = index.group(1).lstrip("0") or "0"  # as text: it may have thousands of digits
        return [gpu for gpu in installed if str(gpu.index) == number]
    return [gpu for gpu in installed if is_uuid_prefix(word, gpu.uuid)]


def is_uuid_prefix(word: str, uuid: str) -> bool:
    """Returns whether a word is a prefix of the card's UUID, beyond the `GPU-` of all UUIDs."""
    start = word.lower()
    return start.startswith(UUID_PREFIX) and start != UUID_PREFIX and uuid.lower().startswith(start)


def _fault(word: str, installed: Sequence[InstalledGpu]) -> str:
    """Returns the fault of a list that begins with this word, and what to do."""
    if is_slice(word):
        return f"names a MIG instance: {NO_FLOOR}; name a whole card, or choose gpu=cpu"
    if not installed:
        return "names a GPU, and this machine has none: unset it, or choose gpu=cpu"
    fault = "is a prefix of several UUIDs" if len(_matching(installed, word)) > 1 else "names no GPU of this machine"
    return f"{fault} ({'; '.join(map(_presence, installed))}): give an index or a UUID, unset it, or choose gpu=cpu"


def _presence(gpu: InstalledGpu) -> str:
    return gpu.obstacle or f"gpu {gpu.index}: {gpu.name} {gpu.uuid}"
