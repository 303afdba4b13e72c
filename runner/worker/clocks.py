"""The four clocks. Each times a separate pass that restarts at ctx after the same warm-up.

All passes drive the step over the same positions and tokens, so that the logits they leave can be checked. `warm_up`
runs before each pass. Opening a window collects garbage first, which leaves the parent time to print its progress line
before the first timed step. Times are in milliseconds, rounded to a nanosecond.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Generic, TypeVar

import torch

from runner.cell.protocol import Protocol
from runner.declarations import Step
from runner.machine import host
from runner.record.sections.passes import BusyPass, RatePass, SpanPass, WallPass
from runner.worker import profiling, windows

Pass = TypeVar("Pass", WallPass, SpanPass, RatePass, BusyPass)


@dataclass(frozen=True)
class Timed(Generic[Pass]):
    """Section of a pass, and the tokens that its steps chose, if they were read back."""

    section: Pass
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True)
class Profiled(Timed[BusyPass]):
    """A profiled pass: its kernels by step, and their counts per step."""

    profile: profiling.Profile = field(kw_only=True)
    observed: profiling.Observed = field(kw_only=True)


def _rounded(milliseconds: float) -> float:
    return round(milliseconds, 6)


def warm_up(step: Step, ctx: int, warmup: int) -> int:
    """Moves back to ctx, runs `warmup` steps with a read-back each, and returns the last one's token.

    Logits and cache rows are poisoned before and after, so that a pass can leave only what its own steps wrote.
    """
    step.restart(ctx)
    step.poison(ctx)
    token = [int(step().item()) for _ in range(warmup)][-1]
    step.poison(ctx + warmup)
    return token


def wait(device: torch.device) -> None:
    """Waits until the device has finished all work; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _cores_used_by_others(before: tuple[float, float] | None, seconds: float) -> float | None:
    after = host.busy_seconds()
    if before is None or after is None or seconds <= 0:
        return None
    other_seconds = (after[0] - before[0]) - (after[1] - before[1])
    return round(max(0.0, other_seconds) / seconds, 2)


def timed_step(step: Step) -> tuple[int, int]:
    """Returns the nanoseconds of host time from the call of one step to its token on the host, and the token.

    This is the time that a robot waits for a step.
    """
    started = time.perf_counter_ns()
    token = step().item()
    return time.perf_counter_ns() - started, int(token)


def wall(step: Step, protocol: Protocol) -> Timed[WallPass]:
    """Measures `step_wall_ms`: each step timed by `timed_step`."""
    busy, began = host.busy_seconds(), time.perf_counter()
    with windows.watch() as window:
        steps = [timed_step(step) for _ in range(protocol.steps)]
    other_cores = _cores_used_by_others(busy, time.perf_counter() - began)
    stamps, tokens = zip(*steps, strict=True)
    series = tuple(_rounded(stamp / 1e6) for stamp in stamps)
    return Timed(WallPass(steps_ms=series, other_cpu_cores=other_cores, **asdict(window)), tokens)


def span(step: Step, protocol: Protocol, device: torch.device) -> Timed[SpanPass]:
    """Measures `step_span_ms`: device time between two events around one step, without the read-back."""
    events = [
        (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(protocol.steps)
    ]
    tokens = []
    with windows.watch() as window:
        for before, after in events:
            before.record()
            token = step()
            after.record()
            tokens.append(int(token.item()))
            torch.cuda.synchronize(device)
    series = tuple(_rounded(before.elapsed_time(after)) for before, after in events)
    return Timed(SpanPass(steps_ms=series, **asdict(window)), tuple(tokens))


def rate(step: Step, protocol: Protocol, device: torch.device) -> Timed[RatePass]:
    """Measures `step_rate_ms`: all steps back to back, one synchronise at the end, no read-back."""
    with windows.watch() as window:
        started = time.perf_counter_ns()
        for _ in range(protocol.steps):
            step()
        wait(device)
        elapsed = time.perf_counter_ns() - started
    return Timed(RatePass(total_ms=_rounded(elapsed / 1e6), **asdict(window)))


def busy(step: Step, protocol: Protocol, device: torch.device) -> Profiled:
    """Measures `step_busy_ms`: union of kernel intervals per step in a profiled pass, and the span of that pass."""
    tokens = []
    with windows.watch() as window, profiling.recorder() as recorder:
        for _ in range(protocol.steps):
            profiling.mark_step()
            tokens.append(int(step().item()))
        profiling.mark_step()
        wait(device)
    profile = profiling.cut_at_marks(profiling.kernels_of(recorder))
    section = BusyPass(
        steps_ms=tuple(_rounded(step.busy_us / 1e3) for step in profile.steps),
        span_ms=tuple(_rounded(step.span_us / 1e3) for step in profile.steps),
        kernels=tuple(step.kernels for step in profile.steps),
        **asdict(window),
    )
    observed = profile.observed(profiling.graph_launches_of(recorder), profiling.copies_of(recorder))
    return Profiled(section, tuple(tokens), profile=profile, observed=observed)
