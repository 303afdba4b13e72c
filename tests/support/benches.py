"""A bench of the H200, made up: eager and fused measured, compile with a wrong answer."""

from __future__ import annotations

from dataclasses import replace

from runner.bench import result
from runner.bench.result import Bench, Entry
from runner.record.sections.passes import WallPass
from runner.record.sections.surroundings import Snapshots
from runner.record.sessionrecord import MeasuredRecord
from tests.support.derive import typed
from tests.support.records import example_record

FLOOR_MS = 3.0
STEPS_MS = {
    "eager": ((20.0, 20.0, 22.0), (21.0, 21.0, 21.0), (19.0, 19.5, 30.0)),
    "fused": ((4.0, 4.0, 4.0), (3.5, 3.5, 3.5), (3.9, 3.9, 3.9)),
}
"""Medians of the rounds: 20, 21 and 19.5 ms; 4, 3.5 and 3.9 ms."""


def passed(*steps_ms: float) -> WallPass:
    """Returns a pass with these steps, in whose window nothing happened."""
    return WallPass(segments=0, compiled=0, captured=0, collected=0, steps_ms=steps_ms, other_cpu_cores=0.1)


ROUNDS = {runtime: tuple(passed(*each) for each in series) for runtime, series in STEPS_MS.items()}


def example_bench() -> Bench:
    """Returns the bench. Its card is that of the example record."""
    session = typed(example_record())
    assert isinstance(session, MeasuredRecord)
    measured = tuple(
        Entry(runtime, (), result.speed(passes, FLOOR_MS), replace(session.cell, runtime=runtime), rounds=passes)
        for runtime, passes in ROUNDS.items()
    )
    idle = replace(session.snapshots.before, other_processes=0, throttle_reasons=())
    return Bench(
        model="qwen2.5-7b",
        ctx=2048,
        protocol=session.protocol,
        rounds=3,
        seed=0,
        gpu=session.gpu,
        tree_key="0" * 12,
        host=session.host,
        snapshots=Snapshots(idle, idle),
        bytes=session.bytes,
        floor_ms=FLOOR_MS,
        turns=result.turns(("eager", "compile", "fused"), 3),
        entries=(*measured, Entry("compile", ("gate ctx: logit error 1 exceeds the bound 0.03",), None)),
        ratios=result.ratios(ROUNDS),
    )
