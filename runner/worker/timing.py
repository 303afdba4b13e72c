"""Timed parts of a session: two prefills, then the passes. The state that each pass leaves is checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import torch

from runner.declarations import Step
from runner.job import Job
from runner.record.sections.gate import EvidenceVersion2
from runner.record.sections.passes import Actual, KernelTime, Passes, Prefill
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


@dataclass(frozen=True)
class Timing:
    """The passes of one step: those with a clock of the session's own, then the profiled one."""

    step: Step
    keeper: Gatekeeper
    job: Job
    clock: Clock
    peaks: Peaks

    @property
    def _device(self) -> torch.device:
        return torch.device(self.job.device.kind)

    def clocked(self) -> Passes:
        """Runs the passes that no profiler watches, and checks the state that each leaves.

        The wall pass runs before the gate's steps at ctx. A growing cache has a new length at every step, and the cost
        of its first visit belongs to the headline.
        """
        step, protocol, device = self.step, self.job.protocol, self._device
        windows = [
            self._run(name, partial(clocks.wall, step), protocol.steps, is_window=protocol.windows > 1)
            for name in protocol.wall_windows
        ]
        timed = Passes(clocks.joined([window.section for window in windows]))
        with self.clock.phase("verify", "verify"):
            self.keeper.drive("ctx", self.job.cell.ctx)
        if self.job.cell.cache == "dynamic":
            timed = replace(timed, revisit=self._run("revisit", partial(clocks.wall, step)).section)
        if device.type == "cpu":
            return timed
        span = self._run("span", partial(clocks.span, step, device=device)).section
        rate = self._run("rate", partial(clocks.rate, step, device=device)).section
        return replace(timed, span=span, rate=rate)

    def profiled(self, timed: Passes) -> Timed:
        """Runs the profiled pass after the others, on a CPU one step whose operators are recorded.

        Nothing is timed after it: a profiler slows down all later steps of its process (docs/methodology.md, Energy).
        """
        step, ctx, device = self.step, self.job.cell.ctx, self._device
        kernels: tuple[KernelTime, ...] = ()
        if device.type == "cpu":
            observed = profiling.operators_of(step, ctx)
        else:
            profiled = self._run("busy", partial(clocks.busy, step, device=device))
            observed, kernels = profiled.observed, profiled.profile.summary()
            timed = replace(timed, busy=profiled.section)
        step.restart(ctx)
        found = self.keeper.evidence(self.job.cell, self.job.shape.hidden, synthetic=self.job.checkpoint is None)
        return Timed(timed, kernels, actual.describe(self.job, observed, step), found)

    def _run(
        self, name: str, measure: Callable[[int], TimedPass], steps: int | None = None, is_window: bool = False
    ) -> TimedPass:
        protocol = self.job.protocol
        count = protocol.other_steps if steps is None else steps
        with self.peaks.of_steps():
            with self.clock.phase("steps", "warm up"):
                before = clocks.warm_up(self.step, self.job.cell.ctx, protocol.warmup)
            with self.clock.phase("steps", f"measure: {name}"):
                timed_pass = measure(count)
        with self.clock.phase("verify", f"verify: {name}"):
            self.keeper.check_pass(name, timed_pass.tokens, before, count, is_window)
        return timed_pass
