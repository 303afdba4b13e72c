"""A GPU that this machine lacks, as the catalogue describes it, so that its cells can be resolved and checked."""

from __future__ import annotations

import re

from runner.cell import catalogue
from runner.cell.catalogue import Gpu
from runner.machine.installedgpu import InstalledGpu


def card(entry: Gpu) -> InstalledGpu | None:
    """Returns the card of a catalogue entry, with the catalogue's memory.

    Returns None if the entry has no memory or no pattern, or if its pattern matches several of NVML's names.
    """
    if entry.nvml is None or entry.memory_gb.value is None:
        return None
    name = re.sub(r"\\(.)", r"\1", entry.nvml)
    if catalogue.gpu_for(name) != entry:
        return None
    memory_bytes = int(entry.memory_gb.value * 1e9)
    return InstalledGpu(0, "", name, memory_bytes, entry.compute_capability, driver="", mig=False)
