"""The four clocks. Each times a separate pass that restarts at ctx after the same warm-up.

All passes drive the step over the same positions and tokens, so that the logits they leave can be checked. `warm_up`
runs before each pass. Opening a window collects garbage first, which leaves the parent time to print its progress line
before the first timed step. Times are in milliseconds, rounded to a nanosecond.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from operator import sub
from typing import Generic, TypeVar

import torch

from runner.declarations import Step
from runner.machine import host
from runner.record.sections.passes import BusyPass, RatePass, SpanPass, WallPass, WindowedPass
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


def wall(step: Step, steps: int) -> Timed[WallPass]:
    """Measures `step_wall_ms` in one window: each step timed by `timed_step`."""
    busy, began = host.busy_seconds(), time.perf_counter()
    with windows.watch() as window:
        before = host.switches()
        timed = [timed_step(step) for _ in range(steps)]
        voluntary, involuntary = map(sub, host.switches(), before)
    mhz = host.core_mhz()
    other_cores = _cores_used_by_others(busy, time.perf_counter() - began)
    stamps, tokens = zip(*timed, strict=True)
    section = WallPass(
        steps_ms=tuple(_rounded(stamp / 1e6) for stamp in stamps),
        other_cpu_cores=other_cores,
        voluntary_switches=voluntary,
        involuntary_switches=involuntary,
        cpu_mhz=None if mhz is None else (mhz,),
        **asdict(window),
    )
    return Timed(section, tokens)


def joined(passes: Sequence[WallPass]) -> WallPass | WindowedPass:
    """Returns the wall pass of one or more windows, each measured by `wall`. Several have their steps in whole µs."""
    if len(passes) == 1:
        return passes[0]
    counts = ("segments", "compiled", "captured", "collected", "voluntary_switches", "involuntary_switches")
    return WindowedPass(
        windows_us=tuple(tuple(max(1, round(ms * 1e3)) for ms in each.steps_ms) for each in passes),
        other_cpu_cores=_mean_cores(passes),
        cpu_mhz=_all_mhz(passes),
        **{name: sum(getattr(each, name) for each in passes) for name in counts},
    )


def _mean_cores(passes: Sequence[WallPass]) -> float | None:
    """Returns the cores that others used in all windows, each weighted by the time of its steps."""
    cores = [each.other_cpu_cores for each in passes]
    times = [sum(each.steps_ms) for each in passes]
    if None in cores:
        return None
    return round(sum(used * ms for used, ms in zip(cores, times, strict=True) if used) / sum(times), 2)


def _all_mhz(passes: Sequence[WallPass]) -> tuple[float, ...] | None:
    """Returns the core's frequency at the end of each window; None if one of them is unknown."""
    read = [mhz for each in passes for mhz in each.cpu_mhz or ()]
    return tuple(read) if len(read) == len(passes) else None


def span(step: Step, steps: int, device: torch.device) -> Timed[SpanPass]:
    """Measures `step_span_ms`: device time between two events around one step, without the read-back."""
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(steps)]
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


def rate(step: Step, steps: int, device: torch.device) -> Timed[RatePass]:
    """Measures `step_rate_ms`: all steps back to back, one synchronise at the end, no read-back."""
    with windows.watch() as window:
        started = time.perf_counter_ns()
        for _ in range(steps):
            step()
        wait(device)
        elapsed = time.perf_counter_ns() - started
    return Timed(RatePass(total_ms=_rounded(elapsed / 1e6), **asdict(window)))


def busy(step: Step, steps: int, device: torch.device) -> Profiled:
    """Measures `step_busy_ms`: union of kernel intervals per step in a profiled pass, and the span of that pass."""
    tokens = []
    with windows.watch() as window, profiling.recorder() as recorder:
        for _ in range(steps):
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
