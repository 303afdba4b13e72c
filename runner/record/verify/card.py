"""Checks the device: the catalogue's figures, and NVML's snapshots before and after."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runner.cell import catalogue
from runner.cell.catalogue import Gpu
from runner.cell.fieldtypes import ABSENT
from runner.cell.vocabulary import CPU
from runner.record.line import short_repr, too_large, unequal
from runner.record.sections.head import GpuInfo
from runner.record.sections.surroundings import Snapshot
from runner.record.sessionrecord import MeasuredRecord, SessionRecord

CACHE_TOLERANCE = 0.1
ALWAYS_REPORTED = ("driver", "memory_bytes", "last_level_cache_bytes", "compute_capability")
"""Fields that every measured session of a GPU has."""
ALWAYS_SET = ("available", "why", "taken_ms")
"""Fields of a snapshot that no card reports."""
LEAST_MEMORY = 0.9  # the driver reserves a part of the datasheet's memory
GB, GIB = 10**9, 2**30
RESERVED = 0.1  # largest share of the memory that NVML includes and CUDA does not


def differences(record: SessionRecord) -> Iterator[str]:
    """Yields a line for each figure of the card that differs from the catalogue, or that its snapshots contradict."""
    gpu = record.gpu
    entry = catalogue.gpus().get(gpu.key)
    if entry is None:
        yield from _uncatalogued_differences(gpu)
    else:
        yield from _catalogue_differences(gpu, entry)
    if isinstance(record, MeasuredRecord):
        yield from _measured_differences(record)


def _uncatalogued_differences(gpu: GpuInfo) -> Iterator[str]:
    """Yields the faults of a card that the catalogue lacks: it has no datasheet figures."""
    if gpu.catalogued:
        yield f"gpu.catalogued: true, but {short_repr(gpu.key)} is not in the catalogue"
    elif gpu.bandwidth_gbs is not None:
        yield f"gpu.bandwidth_gbs: {gpu.bandwidth_gbs:g}, but this card is not in the catalogue"
    if entry := catalogue.gpu_for(gpu.name):
        yield f"gpu.name: {short_repr(gpu.name)} is the catalogue's {entry.key}, not {short_repr(gpu.key)}"


def _catalogue_differences(gpu: GpuInfo, entry: Gpu) -> Iterator[str]:
    if not gpu.catalogued:
        yield f"gpu.catalogued: false, but the catalogue has {entry.key}"
    yield from unequal("gpu.bandwidth_gbs", gpu.bandwidth_gbs, "the catalogue's", entry.bandwidth_gbs.value)
    if entry.nvml is not None and not re.fullmatch(entry.nvml, gpu.name):
        yield f"gpu.name: {short_repr(gpu.name)} does not match the catalogue's {entry.key}"
    if entry.compute_capability is not None and gpu.compute_capability is not ABSENT:
        yield from unequal(
            "gpu.compute_capability", gpu.compute_capability, "the catalogue's", entry.compute_capability
        )
    yield from _size_differences(gpu, entry)


def _size_differences(gpu: GpuInfo, entry: Gpu) -> Iterator[str]:
    memory, gigabytes = gpu.memory_bytes, entry.memory_gb.value
    # a datasheet's GB may be 10^9 or 2^30 bytes
    if memory and gigabytes and not LEAST_MEMORY * gigabytes * GB <= memory <= gigabytes * GIB:
        yield f"gpu.memory_bytes: {memory}, but the catalogue has {gigabytes:g} GB"
    cache, mebibytes = gpu.last_level_cache_bytes, entry.l2_mib.value
    if cache and mebibytes and abs(cache / 2**20 / mebibytes - 1) > CACHE_TOLERANCE:
        yield f"gpu.last_level_cache_bytes: {cache}, but the catalogue has {mebibytes:g} MiB"


def _measured_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields the faults of a measured session, which read the card's state before and after."""
    gpu, major = record.gpu, record.environment.driver_major
    if gpu.key != CPU:
        yield from (f"gpu.{name}: missing" for name in ALWAYS_REPORTED if not getattr(gpu, name))
    yield from _snapshot_differences(gpu, record.snapshots.before, "snapshots.before")
    yield from _snapshot_differences(gpu, record.snapshots.after, "snapshots.after")
    if gpu.driver is not None and major is not ABSENT and major is not None:
        yield from unequal("gpu.driver", gpu.driver.partition(".")[0], "environment.driver_major", major)


def _snapshot_differences(gpu: GpuInfo, snapshot: Snapshot, place: str) -> Iterator[str]:
    if not snapshot.available:
        reported = {name: value for name, value in vars(snapshot).items() if name not in ALWAYS_SET}
        for name, value in reported.items():
            if value is not None:
                yield f"{place}.{name}: {short_repr(value)}, but the card could not be queried"
    for name, now, most in (
        ("sm_clock", snapshot.sm_clock_mhz, snapshot.sm_clock_max_mhz),
        ("memory_clock", snapshot.memory_clock_mhz, snapshot.memory_clock_max_mhz),
    ):
        if most:
            yield from too_large(f"{place}.{name}_mhz", now, most, f"{name}_max_mhz")
    total, memory = snapshot.memory_total_bytes, gpu.memory_bytes
    if total and memory and not memory <= total <= memory / (1 - RESERVED):
        yield f"{place}.memory_total_bytes: {total}, but gpu.memory_bytes is {memory}"
    if total:
        yield from too_large(f"{place}.memory_used_bytes", snapshot.memory_used_bytes, total, "memory_total_bytes")
