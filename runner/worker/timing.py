"""What a session times, in order: two prefills, then the passes, each checked by what it leaves."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch

from runner.declarations import Step
from runner.job import Job
from runner.record.sections.gate import EvidenceVersion2
from runner.record.sections.passes import Actual, KernelTime, Passes, Prefill
from runner.worker import actual, clocks, profiling
from runner.worker.gate import Gatekeeper
from runner.worker.progress import Clock

TimedPass = TypeVar("TimedPass", bound=clocks.Timed[Any])


@dataclass(frozen=True)
class Timed:
    """The sections of the timed passes and of what was seen to run, and what the gate compared."""

    passes: Passes
    kernels: tuple[KernelTime, ...]
    actual: Actual
    evidence: EvidenceVersion2


def prefill(step: Step, ctx: int, device: torch.device, clock: Clock) -> Prefill:
    """Prefills to ctx twice: the first warms up, the second is timed until its token is on the host (TTFT)."""
    times_ms = []
    with clock.phase("prefill", "prefill"):
        for _ in range(2):
            clocks.wait(device)
            started = time.perf_counter_ns()
            step.prefill(ctx).item()
            times_ms.append(round((time.perf_counter_ns() - started) / 1e6, 3))
    return Prefill(cold_ms=times_ms[0], ms=times_ms[1])


def passes(step: Step, keeper: Gatekeeper, job: Job, clock: Clock) -> Timed:
    """Runs the passes, each checked by what it leaves.

    The wall pass comes before the gate's steps at ctx: a growing cache has a length at every step that no step had
    before, and what its first visit costs belongs to the headline.
    """
    device, ctx, protocol = torch.device(job.device.kind), job.cell.ctx, job.protocol

    def run_pass(name: str, measure: Callable[[], TimedPass]) -> TimedPass:
        with clock.phase("steps", "warm up"):
            before = clocks.warm_up(step, ctx, protocol.warmup)
        with clock.phase("steps", f"measure: {name}"):
            own = measure()
        with clock.phase("verify", f"verify: {name}"):
            keeper.after(name, own.tokens, before)
        return own

    kernels: tuple[KernelTime, ...] = ()
    timed = Passes(run_pass("wall", lambda: clocks.wall(step, protocol)).section)
    with clock.phase("verify", "verify"):
        keeper.drive("ctx", ctx)
    if job.cell.cache == "dynamic":
        timed = replace(timed, revisit=run_pass("revisit", lambda: clocks.wall(step, protocol)).section)
    if device.type == "cpu":
        seen = profiling.operators_of(step, ctx)
    else:
        span = run_pass("span", lambda: clocks.span(step, protocol, device)).section
        rate = run_pass("rate", lambda: clocks.rate(step, protocol, device)).section
        profiled = run_pass("busy", lambda: clocks.busy(step, protocol, device))
        seen, kernels = profiled.seen, profiled.profile.summary()
        timed = replace(timed, span=span, rate=rate, busy=profiled.section)
    step.restart(ctx)
    evidence = keeper.evidence(job.cell, job.shape.hidden, synthetic=job.checkpoint is None)
    return Timed(timed, kernels, actual.of(job, seen, step), evidence)
