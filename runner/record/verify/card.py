"""The device: the catalogue's figures of it, and NVML's account of it before and after."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from runner.cell import catalogue
from runner.cell.catalogue import Gpu
from runner.cell.vocabulary import CPU
from runner.record import record
from runner.record.metrics import lookup
from runner.record.structure import shown
from runner.record.verify.line import above, unequal

CACHE_TOLERANCE = 0.1
ALWAYS_TOLD = ("driver", "memory_bytes", "last_level_cache_bytes", "compute_capability")
"""Every measured session of a card has asked it for these."""
LEAST_MEMORY = 0.9  # a driver keeps some of it
GB, GIB = 10**9, 2**30
RESERVED = 0.1  # of what NVML counts, for the driver: CUDA does not

Record = Mapping[str, Any]


def differences(found: Record) -> Iterator[str]:
    """Yields a line for each figure of the card that is not the catalogue's, or that its own accounts contradict."""
    gpu = found["gpu"]
    entry = catalogue.gpus().get(gpu["key"])
    if entry is None:
        yield from _stranger_differences(gpu)
    else:
        yield from _catalogue_differences(gpu, entry)
    if record.is_measured(found) and gpu["key"] != CPU:
        yield from (f"gpu.{name}: missing" for name in ALWAYS_TOLD if not gpu.get(name))
    for moment in ("before", "after"):
        yield from _snapshot_differences(found, f"snapshots.{moment}")
    driver, major = gpu.get("driver"), lookup(found, "environment.driver_major")
    if driver is not None and major is not None:
        yield from unequal("gpu.driver", driver.partition(".")[0], "environment.driver_major", major)


def _stranger_differences(gpu: Record) -> Iterator[str]:
    """A card that the catalogue does not have is measured without a datasheet."""
    if gpu["catalogued"]:
        yield f"gpu.key: {shown(gpu['key'])} is not in the catalogue, though the record says so"
    elif gpu["bandwidth_gbs"] is not None:
        yield f"gpu.bandwidth_gbs: {gpu['bandwidth_gbs']:g}, though no catalogue has this card"
    if known := catalogue.gpu_for(gpu["name"]):
        yield f"gpu.name: {shown(gpu['name'])} is the catalogue's {known.key}, not {shown(gpu['key'])}"


def _catalogue_differences(gpu: Record, entry: Gpu) -> Iterator[str]:
    if not gpu["catalogued"]:
        yield f"gpu.catalogued: false, though the catalogue has {entry.key}"
    yield from unequal("gpu.bandwidth_gbs", gpu["bandwidth_gbs"], "the catalogue's", entry.bandwidth_gbs.value)
    if entry.nvml is not None and not re.fullmatch(entry.nvml, gpu["name"]):
        yield f"gpu.name: {shown(gpu['name'])} is none of the catalogue's {entry.key}"
    if entry.compute_capability is not None and "compute_capability" in gpu:
        yield from unequal(
            "gpu.compute_capability", gpu["compute_capability"], "the catalogue's", entry.compute_capability
        )
    if entry.bandwidth_gbs.value is not None:  # without one, a name may be that of several modules
        yield from _size_differences(gpu, entry)


def _size_differences(gpu: Record, entry: Gpu) -> Iterator[str]:
    memory, gigabytes = gpu.get("memory_bytes"), entry.memory_gb.value
    # datasheets say GB of either kind
    if memory and gigabytes and not LEAST_MEMORY * gigabytes * GB <= memory <= gigabytes * GIB:
        yield f"gpu.memory_bytes: {memory}, the catalogue has {gigabytes:g} GB"
    cache, mebibytes = gpu.get("last_level_cache_bytes"), entry.l2_mib.value
    if cache and mebibytes and abs(cache / 2**20 / mebibytes - 1) > CACHE_TOLERANCE:
        yield f"gpu.last_level_cache_bytes: {cache}, the catalogue has {mebibytes:g} MiB"


def _snapshot_differences(found: Record, place: str) -> Iterator[str]:
    snapshot = lookup(found, place)
    if snapshot is None:
        return
    for now, most in (("sm_clock_mhz", "sm_clock_max_mhz"), ("memory_clock_mhz", "memory_clock_max_mhz")):
        if snapshot.get(most):
            yield from above(f"{place}.{now}", snapshot.get(now), snapshot[most], most)
    total, memory = snapshot.get("memory_total_bytes"), found["gpu"].get("memory_bytes")
    if total and memory and not memory <= total <= memory / (1 - RESERVED):
        yield f"{place}.memory_total_bytes: {total}, but gpu.memory_bytes is {memory}"
    if total:
        yield from above(f"{place}.memory_used_bytes", snapshot.get("memory_used_bytes"), total, "all of it")
