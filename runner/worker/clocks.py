"""The four clocks, each in a pass of its own that restarts at ctx after the same warm-up.

A pass drives the step over the same positions and tokens as every other pass, so that the logits it leaves behind can
be checked. `warm_up` comes before each pass function. Opening the window collects garbage first, so that the parent has
long printed its progress line when the first step is timed. Times are in milliseconds, rounded to a nanosecond.
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
    """The section of a pass, and the tokens that its steps chose, where they were read back."""

    section: Pass
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True)
class Profiled(Timed[BusyPass]):
    """A profiled pass: its kernels by step, and what was seen to run."""

    profile: profiling.Profile = field(kw_only=True)
    seen: profiling.Seen = field(kw_only=True)


def _rounded(milliseconds: float) -> float:
    return round(milliseconds, 6)


def warm_up(step: Step, ctx: int, warmup: int) -> int:
    """Goes back to ctx, runs `warmup` steps with a read-back each, and returns the last one's token. What the steps
    from here on must write is spoilt before and again after: whatever a pass leaves, its own steps have written."""
    step.restart(ctx)
    step.spoil(ctx)
    token = [int(step().item()) for _ in range(warmup)][-1]
    step.spoil(ctx + warmup)
    return token


def wait(device: torch.device) -> None:
    """Until the device has done all it was given; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _cores_used_by_others(before: tuple[float, float] | None, seconds: float) -> float | None:
    after = host.busy_seconds()
    if before is None or after is None or seconds <= 0:
        return None
    others = (after[0] - before[0]) - (after[1] - before[1])
    return round(max(0.0, others) / seconds, 2)


def timed_step(step: Step) -> tuple[int, int]:
    """Nanoseconds of host clock from the call of one step to its token on the host, which is what the robot waits for,
    and that token."""
    started = time.perf_counter_ns()
    token = step().item()
    return time.perf_counter_ns() - started, int(token)


def wall(step: Step, protocol: Protocol) -> Timed[WallPass]:
    """`step_wall_ms`: each step timed by `timed_step`."""
    busy, began = host.busy_seconds(), time.perf_counter()
    with windows.watch() as window:
        steps = [timed_step(step) for _ in range(protocol.steps)]
    others = _cores_used_by_others(busy, time.perf_counter() - began)
    stamps, tokens = zip(*steps, strict=True)
    series = tuple(_rounded(stamp / 1e6) for stamp in stamps)
    return Timed(WallPass(steps_ms=series, other_cpu_cores=others, **asdict(window)), tokens)


def span(step: Step, protocol: Protocol, device: torch.device) -> Timed[SpanPass]:
    """`step_span_ms`: device time between two events around one step; the read-back lies outside them."""
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
    """`step_rate_ms`: all steps back to back, one synchronise at the end, no read-back."""
    with windows.watch() as window:
        started = time.perf_counter_ns()
        for _ in range(protocol.steps):
            step()
        wait(device)
        elapsed = time.perf_counter_ns() - started
    return Timed(RatePass(total_ms=_rounded(elapsed / 1e6), **asdict(window)))


def busy(step: Step, protocol: Protocol, device: torch.device) -> Profiled:
    """`step_busy_ms`: union of kernel intervals per step in a profiled pass, whose own span is recorded beside it."""
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
    seen = profile.seen(profiling.graph_launches_of(recorder))
    return Profiled(section, tuple(tokens), profile=profile, seen=seen)
