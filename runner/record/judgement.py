"""The verdict on a session: a pure function of its record, so anyone can judge it again.

Reasons make a session invalid: it is kept, but never enters a table. Flags mark a valid but suspect session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from runner import registry
from runner.cell import attention, floors
from runner.cell.cell import Cell
from runner.cell.fieldtypes import value_or_none
from runner.record import gaterules, heldbytes
from runner.record.flags import (
    DISTURBED,
    ENERGY_DISAGREES,
    HOST_CONDITION,
    PASSES_DISAGREE,
    SAMPLED_POWER,
    SHARED_CARD,
)
from runner.record.gaterules import NOT_FINITE, is_explained
from runner.record.metrics import energy_disagreement, passes_disagreement
from runner.record.sections.energy import POWER_SAMPLES, Energy
from runner.record.sections.gate import Gate, Likeness, NotFinite
from runner.record.sections.passes import Window, timed_passes
from runner.record.sections.surroundings import Limits, Snapshots
from runner.record.sessionrecord import MeasuredRecord, SessionRecord

R_FLOOR_LIMIT = 1.02
DISAGREEMENT_LIMIT, ENERGY_DISAGREEMENT_LIMIT = 0.1, 0.05
DRIFT_LIMIT = 0.05
BUSY_HOST_CORES = 0.5
DISTURBED_SHARE = 0.25
VERIFY_LIMIT_BYTES = 10**9
LIMITS = Limits(
    r_floor=R_FLOOR_LIMIT,
    drift=DRIFT_LIMIT,
    other_cpu_cores=BUSY_HOST_CORES,
    disturbed_share=DISTURBED_SHARE,
    passes_disagreement=DISAGREEMENT_LIMIT,
    energy_disagreement=ENERGY_DISAGREEMENT_LIMIT,
    verify_extra_bytes=VERIFY_LIMIT_BYTES,
)
"""Limits of this version, as a record states them."""
IDLE_CLOCKS = {"gpu_idle", "applications_clocks_setting", "display_clock_setting"}
"""NVML's reasons for a lower clock that do not slow down a step."""


def gate_reasons(gate: Gate, dtype: str) -> Iterator[str]:
    """Yields the reasons why a step of this dtype gave wrong answers, by the evidence of its gate."""
    if (fault := value_or_none(gate.not_finite)) is not None:  # absent in older records
        yield f"logits are not finite: {_not_finite(gate, dtype, fault)}"
    yield from gaterules.reasons(gate)


def _not_finite(gate: Gate, dtype: str, fault: NotFinite) -> str:
    """Returns the first weight that is not finite and what to do; if all are finite, the path at fault."""
    wider = ": choose dtype=bf16 or fp32" if dtype == "fp16" else ""
    if fault.how == "stored":
        return f"{fault.tensor} holds {fault.value}: fetch or make the checkpoint again"
    if fault.how == "converted":
        return f"{fault.tensor} is finite in the checkpoint, and holds {fault.value} in {dtype}{wider}"
    if fault.how == "dequantised":
        return f"{fault.tensor} is finite as it is packed, and holds {fault.value} once dequantised to {dtype}{wider}"
    if gate.trusted_error == NOT_FINITE:
        return f"every weight is finite, and activations go beyond {dtype}{wider}"
    names = ", ".join(check.name for check in gate.checks if NOT_FINITE in check.errors)
    return f"every weight is finite, and so are trusted eager's logits: the step that is timed is at fault ({names})"


def likeness_reasons(gate: Gate, cell: Cell, attention_backend: str) -> Iterator[str]:
    """Yields a reason for each comparison in which a step built from the eager step differs too much from it.

    A runtime that replays eager's kernels must produce eager's bits if these kernels are deterministic, else stay
    within the bound. A runtime with kernels of its own may choose another token only if the reference is undecided.
    """
    replays = registry.runtime(cell.runtime).DECLARATION.replays_eager
    for likeness in value_or_none(gate.eager) or ():
        worst = max(likeness.differences)
        if is_explained(gate, worst):
            continue
        is_exact = replays and _is_deterministic(cell.kernel, attention_backend)
        if is_exact and not all((*likeness.equal, *likeness.same_token)):
            yield (
                f"eager {likeness.name}: {likeness.equal.count(False)} of {len(likeness.equal)} steps have other "
                f"logits than eager's (by {worst:.3g}), though {cell.kernel} and "
                f"{attention_backend} attention are deterministic"
            )
        elif replays and not worst <= gate.bound:
            yield f"eager {likeness.name}: logits differ from eager's by {worst:.3g}, bound {gate.bound:.3g}"
        elif _chooses_otherwise(gate, likeness):
            is_first = gaterules.version(gate) < gaterules.VERSION
            margin = "twice the bound" if is_first else "too wide for rounding"  # stored reasons must not change
            yield f"eager {likeness.name}: another token than eager's, though the reference's margin is {margin}"


def _is_deterministic(kernel: str, attention_backend: str) -> bool:
    return registry.kernel(kernel).DECLARATION.deterministic and attention_backend in attention.DETERMINISTIC


def _chooses_otherwise(gate: Gate, likeness: Likeness) -> bool:
    least = gaterules.undecided_below(gate)
    pairs = zip(likeness.same_token, likeness.margins, strict=False)
    return not all(same or margin < least for same, margin in pairs)


def window_reasons(windows: Mapping[str, Window], cache: str) -> Iterator[str]:
    """Yields a reason for each event that must not happen in the window of a timed pass. `windows` has them by name."""
    for name, window in windows.items():
        if window.collected:  # absent in older records
            yield f"{window.collected} garbage collections inside the {name} window"
        if window.compiled:
            yield f"{window.compiled} compilations inside the {name} window"
        if window.captured:
            yield f"{window.captured} captures of CUDA graphs inside the {name} window"
        if window.segments and cache != "dynamic":
            yield f"{window.segments} driver allocations inside the {name} window"


def _windows(record: MeasuredRecord) -> dict[str, Window]:
    """Returns the windows of the timed passes, and that of the steps whose energy was measured, by name."""
    of_energy = {"energy": record.energy.steps} if isinstance(record.energy, Energy) else {}
    return {**timed_passes(record.passes), **of_energy}


def fits_in_cache(record: MeasuredRecord) -> bool:
    """Returns whether all weights fit into the last-level cache. A step then need not read them from memory."""
    cache = value_or_none(record.gpu.last_level_cache_bytes)
    return cache is not None and record.bytes.weights <= cache


def least_ms(record: MeasuredRecord, streamed_bytes: float) -> float | None:
    """Returns the lower bound in ms of reading `streamed_bytes`, minus the size of the last-level cache, at
    `R_FLOOR_LIMIT` times the datasheet's peak; None without a datasheet."""
    peak = record.gpu.bandwidth_gbs
    cached = value_or_none(record.gpu.last_level_cache_bytes) or 0
    return None if peak is None else floors.floor_ms(max(0, streamed_bytes - cached), peak) / R_FLOOR_LIMIT


def reasons(record: MeasuredRecord) -> list[str]:
    """Returns the reasons why a measured session is not valid; empty if it is."""
    cell = record.cell
    lines = [*gate_reasons(record.gate, cell.dtype)]
    lines += likeness_reasons(record.gate, cell, record.actual.attention_backend)
    lines += window_reasons(_windows(record), cell.cache)
    lines += heldbytes.reasons(record)
    r_floor, sizes = record.floor.r_floor, record.bytes
    if r_floor is not None and r_floor > R_FLOOR_LIMIT and not fits_in_cache(record):
        lines.append(f"r_floor {r_floor:.3f} is impossible (above {R_FLOOR_LIMIT})")
    if sizes.weights != sizes.weights_measured:
        lines.append(f"weights take {sizes.weights_measured} bytes on the device, accounted {sizes.weights}")
    extra = record.memory.verify_extra_bytes
    if extra is not None and extra > VERIFY_LIMIT_BYTES:
        lines.append(f"verify took {extra} bytes over weights and KV, limit {VERIFY_LIMIT_BYTES}")
    return lines


def is_throttled(snapshots: Snapshots) -> bool:
    """Returns whether the card had a lower clock than it could, for a reason that slows down a step."""
    moments = (snapshots.before, snapshots.after)
    return any(set(moment.throttle_reasons or ()) - IDLE_CLOCKS for moment in moments)


def is_shared(snapshots: Snapshots) -> bool:
    """Returns whether other processes used the card."""
    return bool(snapshots.before.other_processes or snapshots.after.other_processes)


def _is_disturbed(record: MeasuredRecord) -> bool:
    """Returns whether other processes used at least `disturbed_share` of the host's cores while steps were timed; false
    for older records, which lack that limit."""
    other_cores, limit = record.passes.wall.other_cpu_cores, value_or_none(record.limits.disturbed_share)
    # a pinned worker may use few of the host's cores
    cores = record.host_condition.allowed_cores if record.host_condition else record.host.cores
    return limit is not None and other_cores is not None and other_cores / cores >= limit


@dataclass(frozen=True)
class Agreement:
    """Passes that should agree. Older records lack the limit, and thus the flag: it is only displayed."""

    limit: str
    """name of the limit in a record"""
    difference: Callable[[MeasuredRecord], float | None]

    def is_judged(self, record: MeasuredRecord) -> bool:
        """Returns whether the session was judged by this limit."""
        return value_or_none(getattr(record.limits, self.limit)) is not None

    def is_broken(self, record: MeasuredRecord) -> bool:
        """Returns whether the difference exceeds the limit of this version."""
        limit: float = getattr(LIMITS, self.limit)
        return (self.difference(record) or 0) > limit


AGREEMENTS = {
    ENERGY_DISAGREES: Agreement("energy_disagreement", energy_disagreement),
    PASSES_DISAGREE: Agreement("passes_disagreement", passes_disagreement),
}
"""By the flag of a session whose passes do not agree."""


def _disagrees(flag: str, record: MeasuredRecord) -> bool:
    return AGREEMENTS[flag].is_judged(record) and AGREEMENTS[flag].is_broken(record)


def flags(record: MeasuredRecord) -> list[str]:
    """Returns the flags of a measured session, with its `given_flags`, in alphabetical order."""
    conditions = {
        "driver-allocations": record.cell.cache == "dynamic"
        and any(window.segments for window in _windows(record).values()),
        "drifting": abs(record.latency.drift) > DRIFT_LIMIT,
        ENERGY_DISAGREES: _disagrees(ENERGY_DISAGREES, record),
        "imprecise": gaterules.is_imprecise(record.gate),
        DISTURBED: _is_disturbed(record),
        "host-busy": (record.passes.wall.other_cpu_cores or 0) > BUSY_HOST_CORES,
        HOST_CONDITION: bool(record.host_condition),
        "in-cache": fits_in_cache(record),
        PASSES_DISAGREE: _disagrees(PASSES_DISAGREE, record),
        SAMPLED_POWER: isinstance(record.energy, Energy) and record.energy.source == POWER_SAMPLES,
        "probe-low": (record.floor.r_floor_achievable or 0) > R_FLOOR_LIMIT,
        SHARED_CARD: is_shared(record.snapshots),
        "throttled": is_throttled(record.snapshots),
    }
    return sorted({*record.given_flags, *(flag for flag, holds in conditions.items() if holds)})


def displayed_flags(record: SessionRecord) -> list[str]:
    """Returns the flags to display: a record that is older than a flag of `AGREEMENTS` gets it here."""
    if not isinstance(record, MeasuredRecord):
        return sorted(record.flags)
    older = {flag for flag, each in AGREEMENTS.items() if not each.is_judged(record) and each.is_broken(record)}
    return sorted({*record.flags, *older})


def with_judgement(record: MeasuredRecord) -> MeasuredRecord:
    """Returns the record with `valid`, `reasons` and `flags` derived from the rest of it."""
    lines = reasons(record)
    return replace(record, valid=not lines, reasons=tuple(lines), flags=tuple(flags(record)))
