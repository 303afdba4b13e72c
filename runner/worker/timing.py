"""Timed parts of a session, in order: two prefills, then the passes. The state that each pass leaves is checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch

from runner.declarations import Step
from runner.job import Job
from runner.record.sections.gate import EvidenceVersion2
from runner.record.sections.passes import Actual, KernelTime, Passes, Prefill, WallPass
from runner.worker import actual, clocks, profiling
from runner.worker.gatekeeper import Gatekeeper
from runner.worker.peaks import Peaks
from runner.worker.progress import Clock

TimedPass = TypeVar("TimedPass", bound=clocks.Timed[Any])


@dataclass(frozen=True)
class Timed:
    """Sections of the timed passes and of the code that ran, and the gate's evidence."""

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


def passes(step: Step, keeper: Gatekeeper, job: Job, clock: Clock, peaks: Peaks) -> Timed:
    """Runs the passes, and checks the state that each leaves.

    The wall pass runs before the gate's steps at ctx. A growing cache has a new length at every step, and the cost of
    its first visit belongs to the headline.
    """
    device, ctx, protocol = torch.device(job.device.kind), job.cell.ctx, job.protocol

    def run_pass(
        name: str, measure: Callable[[int], TimedPass], steps: int = protocol.other_steps, is_window: bool = False
    ) -> TimedPass:
        with peaks.of_steps():
            with clock.phase("steps", "warm up"):
                before = clocks.warm_up(step, ctx, protocol.warmup)
            with clock.phase("steps", f"measure: {name}"):
                timed_pass = measure(steps)
        with clock.phase("verify", f"verify: {name}"):
            keeper.check_pass(name, timed_pass.tokens, before, steps, is_window)
        return timed_pass

    def measure_wall(steps: int) -> clocks.Timed[WallPass]:
        return clocks.wall(step, steps)

    kernels: tuple[KernelTime, ...] = ()
    windows = [
        run_pass(name, measure_wall, protocol.steps, is_window=protocol.windows > 1) for name in protocol.wall_windows
    ]
    timed = Passes(clocks.joined([window.section for window in windows]))
    with clock.phase("verify", "verify"):
        keeper.drive("ctx", ctx)
    if job.cell.cache == "dynamic":
        timed = replace(timed, revisit=run_pass("revisit", measure_wall).section)
    if device.type == "cpu":
        observed = profiling.operators_of(step, ctx)
    else:
        span = run_pass("span", lambda steps: clocks.span(step, steps, device)).section
        rate = run_pass("rate", lambda steps: clocks.rate(step, steps, device)).section
        profiled = run_pass("busy", lambda steps: clocks.busy(step, steps, device))
        observed, kernels = profiled.observed, profiled.profile.summary()
        timed = replace(timed, span=span, rate=rate, busy=profiled.section)
    step.restart(ctx)
    return Timed(timed, kernels, actual.describe(job, observed, step), evidence(keeper, job))


def evidence(keeper: Gatekeeper, job: Job) -> EvidenceVersion2:
    """Returns all that the gatekeeper of a job's step has found so far."""
    return keeper.evidence(job.cell, job.shape.hidden, synthetic=job.checkpoint is None)
