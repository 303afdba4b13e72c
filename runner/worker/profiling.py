"""Kernel intervals of single steps, from torch's profiler (CUPTI) on a GPU; operator names on a CPU.

Marker kernels launched on the same stream separate the steps. The separation uses device time only, no host clock.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch._C._autograd import DeviceType

from runner.cell import attention
from runner.declarations import Step
from runner.record.sections.passes import OTHERS, SUMMARY_ROWS, KernelTime

MARKER = "spin_kernel"  # kernel of torch.cuda._sleep; no model uses it
NOT_KERNELS = ("Memcpy", "Memset")
NAME_LENGTH = 200
GRAPH_LAUNCHES = ("cudaGraphLaunch", "cuGraphLaunch")


@dataclass(frozen=True)
class KernelRun:
    """Interval of one kernel on the device, in nanoseconds of the profiler's clock."""

    name: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class ProfiledStep:
    """Times of one step: `busy_us` is the union of kernel intervals, `span_us` runs from first start to last end."""

    busy_us: float
    span_us: float
    kernels: int


@dataclass(frozen=True)
class Observed:
    """Kernels (on a CPU, operators) by name, launches of CUDA graphs, and copies and fills, as counts per step."""

    counts: Mapping[str, float]
    graph_launches: float = 0.0
    copies: float | None = None
    """None where no profile shows copies: on a CPU"""

    def matching(self, signatures: Sequence[str]) -> dict[str, float]:
        """Returns the counts of names that contain one of the signatures."""
        return {name: count for name, count in self.counts.items() if any(part in name for part in signatures)}

    @property
    def attention_backend(self) -> str:
        """Returns the backend of scaled_dot_product_attention, recognised by the names; otherwise `unknown`."""
        return attention.backend_of(self.counts)

    @property
    def graph_mode(self) -> str:
        """Returns `none` (no graph launch), `whole-step` (one graph launch per step), or `partial` (another number)."""
        if self.graph_launches == 0:
            return "none"
        return "whole-step" if self.graph_launches == 1 else "partial"


@dataclass(frozen=True)
class Profile:
    """Profiled steps, and the kernels that ran in them."""

    steps: tuple[ProfiledStep, ...]
    runs: tuple[KernelRun, ...]

    def observed(self, graph_launches: int, copies: int) -> Observed:
        """Returns counts per step. `graph_launches` and `copies` are the counts of the whole recording."""
        counts = Counter(run.name for run in self.runs)
        steps = len(self.steps)
        return Observed({name: count / steps for name, count in counts.items()}, graph_launches / steps, copies / steps)

    def summary(self) -> tuple[KernelTime, ...]:
        """Returns mean count and µs per step of the slowest kernels, and of all others in one row."""
        groups: dict[str, list[int]] = defaultdict(list)
        for run in self.runs:
            groups[run.name].append(run.end_ns - run.start_ns)
        ranked = sorted(groups.items(), key=lambda item: -sum(item[1]))
        rows = [self._row(name[:NAME_LENGTH], durations) for name, durations in ranked[:SUMMARY_ROWS]]
        rest = [duration for _, durations in ranked[SUMMARY_ROWS:] for duration in durations]
        return (*rows, self._row(OTHERS, rest)) if rest else tuple(rows)

    def _row(self, name: str, durations: Sequence[int]) -> KernelTime:
        steps = len(self.steps)
        return KernelTime(name, round(len(durations) / steps, 2), round(sum(durations) / steps / 1e3, 2))


@contextmanager
def recorder() -> Iterator[Any]:
    """Records device activity while the context is open. Host activity would slow the steps."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as running:
        yield running


def mark_step() -> None:
    """Launches a marker kernel on the current stream."""
    torch.cuda._sleep(1)


def kernels_of(recorder: Any) -> list[KernelRun]:
    """Returns the kernels of a finished recording, ordered by start, without copies and fills."""
    events = [event for event in _on_device(recorder) if not event.name().startswith(NOT_KERNELS)]
    runs = [KernelRun(event.name(), event.start_ns(), event.start_ns() + event.duration_ns()) for event in events]
    return sorted(runs, key=lambda run: run.start_ns)


def copies_of(recorder: Any) -> int:
    """Returns the number of copies and fills in a finished recording."""
    return sum(event.name().startswith(NOT_KERNELS) for event in _on_device(recorder))


def _on_device(recorder: Any) -> list[Any]:
    return [event for event in recorder.profiler.kineto_results.events() if event.device_type() == DeviceType.CUDA]


def cut_at_marks(runs: Sequence[KernelRun]) -> Profile:
    """Splits kernel runs, ordered by start, at the markers. Drops runs before the first and after the last marker.

    A step is what ran between two successive markers. There are no steps with fewer than two."""
    steps: list[list[KernelRun]] = []
    for run in runs:
        if MARKER in run.name:
            steps.append([])
        elif steps:
            steps[-1].append(run)
    complete = steps[:-1]
    return Profile(tuple(map(_profiled, complete)), tuple(run for step in complete for run in step))


def _profiled(runs: Sequence[KernelRun]) -> ProfiledStep:
    if not runs:
        return ProfiledStep(0.0, 0.0, 0)
    end_ns = max(run.end_ns for run in runs)
    return ProfiledStep(union_ns(runs) / 1e3, (end_ns - runs[0].start_ns) / 1e3, len(runs))


def union_ns(runs: Sequence[KernelRun]) -> int:
    """Returns the nanoseconds in which at least one kernel was running. `runs` must be ordered by start."""
    total, covered_until = 0, 0
    for run in runs:
        total += max(0, run.end_ns - max(run.start_ns, covered_until))
        covered_until = max(covered_until, run.end_ns)
    return total


def graph_launches_of(recorder: Any) -> int:
    """Returns the number of CUDA graph launches in a finished recording."""
    return sum(event.name().startswith(GRAPH_LAUNCHES) for event in recorder.profiler.kineto_results.events())


def operators_of(step: Step, ctx: int) -> Observed:
    """Returns the operators that a step at ctx runs on a CPU, in place of kernels."""
    from torch.profiler import ProfilerActivity, profile

    step.restart(ctx)
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as running:
        step().item()
    return Observed(Counter(event.name() for event in running.profiler.kineto_results.events()))
