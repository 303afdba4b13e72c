"""The phases of a step that is one kernel: shares of its busy time, and what exceeds reading their bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.cell.fieldtypes import ABSENT
from runner.record import metrics, phases
from runner.record.sections.passes import Phases
from tests.support.derive import typed
from tests.support.fusedrecords import fused_record

CLOCKS = {"qkv": 300, "attention": 700, "out": 200, "gate_up": 4500, "down": 2300, "head": 1000, "exchanges": 1000}


def test_phases_share_the_busy_time_by_the_medians_of_their_clocks() -> None:
    # 10 000 clocks in 4 ms; the third step of each phase is an outlier
    found = Phases(**{name: (clocks, clocks, 100 * clocks) for name, clocks in CLOCKS.items()})
    assert phases.phase_ms(found, 4.0) == pytest.approx(
        {"qkv": 0.12, "attention": 0.28, "out": 0.08, "gate_up": 1.8, "down": 0.92, "head": 0.4, "exchanges": 0.4}
    )


def test_every_streamed_byte_belongs_to_one_phase() -> None:
    record = typed(fused_record())
    sizes = phases.phase_bytes(record)
    assert sum(sizes.values()) == record.bytes.streamed
    # Qwen2.5-7B in bf16: 28 layers of 3584 columns by 28 + 2 * 4 heads of 128 rows
    assert sizes["qkv"] == 2 * 28 * 3584 * 4608
    assert sizes["head"] == 2 * 152064 * 3584
    assert sizes["attention"] == record.bytes.kv
    # 57 norms of 3584 and 28 biases of 4608
    assert sizes["exchanges"] == 2 * (57 * 3584 + 28 * 4608)


def test_what_exceeds_the_bytes_adds_up_to_the_kernels_term() -> None:
    record = typed(fused_record())
    beyond = phases.beyond_ms(record)
    assert record.latency.step_busy_ms is not None
    assert sum(beyond.values()) == pytest.approx(record.latency.step_busy_ms - record.floor.floor_achievable_ms)
    # 3 % of the clocks, and 28 * 3584 * 4608 * 2 bytes
    assert beyond["qkv"] == pytest.approx(0.03 * record.latency.step_busy_ms - 924844032 / record.probes.read_gbs / 1e6)
    values = metrics.values(record)
    assert {name: values[f"kernels/{name}_ms"] for name in phases.NAMES} == beyond


def test_without_phases_or_busy_time_there_is_nothing_to_tell() -> None:
    record = typed(fused_record())
    unprofiled = replace(record, latency=replace(record.latency, step_busy_ms=None))
    for other in (replace(record, phases=ABSENT), unprofiled):
        assert phases.beyond_ms(other) == {}
        assert not [name for name in metrics.values(other) if name.startswith("kernels/")]
