"""Kernel intervals of single steps, from torch's profiler (CUPTI) on a GPU; operator names on a CPU.

Steps are cut at marker kernels launched between them on the same stream: the cut is made in device time and needs no
host clock.
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
from runner.record.sections.passes import OTHERS, KernelTime

MARKER = "spin_kernel"  # what torch.cuda._sleep launches; no model uses it
NOT_KERNELS = ("Memcpy", "Memset")
SUMMARY_ROWS = 24
NAME_LENGTH = 200
GRAPH_LAUNCHES = ("cudaGraphLaunch", "cuGraphLaunch")


@dataclass(frozen=True)
class KernelRun:
    """One kernel's interval on the device, nanoseconds on the profiler's clock."""

    name: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class ProfiledStep:
    """`busy_us` is the union of the kernels' intervals, `span_us` runs from the first start to the last end."""

    busy_us: float
    span_us: float
    kernels: int


@dataclass(frozen=True)
class Seen:
    """What a step was seen to run: kernels (on a CPU, operators) by name, and launches of CUDA graphs, per step."""

    counts: Mapping[str, float]
    graph_launches: float = 0.0

    def matching(self, signatures: Sequence[str]) -> dict[str, float]:
        """Those whose name holds one of the signatures."""
        return {name: count for name, count in self.counts.items() if any(part in name for part in signatures)}

    @property
    def attention_backend(self) -> str:
        """Which backend of scaled_dot_product_attention the names betray; `unknown` where none is recognised."""
        return attention.backend_of(self.counts)

    @property
    def graph_mode(self) -> str:
        """How steps were launched: `none` kernel by kernel, `whole-step` by one graph each, or `partial`."""
        if self.graph_launches == 0:
            return "none"
        return "whole-step" if self.graph_launches == 1 else "partial"


@dataclass(frozen=True)
class Profile:
    """All profiled steps, and what ran in them."""

    steps: tuple[ProfiledStep, ...]
    runs: tuple[KernelRun, ...]

    def seen(self, graph_launches: int) -> Seen:
        """What ran per step; `graph_launches` counts those of the whole recording."""
        counts = Counter(run.name for run in self.runs)
        steps = len(self.steps)
        return Seen({name: count / steps for name, count in counts.items()}, graph_launches / steps)

    def summary(self) -> tuple[KernelTime, ...]:
        """Returns the kernels that take longest, mean count and µs per step, and the rest as one row."""
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
    """Record device activity over the body; nothing of the host's, which would slow it."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as running:
        yield running


def mark_step() -> None:
    """Launch a marker kernel on the current stream."""
    torch.cuda._sleep(1)


def kernels_of(recorder: Any) -> list[KernelRun]:
    """Kernels of a finished recording in order of their start; copies and fills are not kernels."""
    events = [event for event in recorder.profiler.kineto_results.events() if event.device_type() == DeviceType.CUDA]
    runs = [KernelRun(event.name(), event.start_ns(), event.start_ns() + event.duration_ns()) for event in events]
    return sorted((run for run in runs if not run.name.startswith(NOT_KERNELS)), key=lambda run: run.start_ns)


def cut_at_marks(runs: Sequence[KernelRun]) -> Profile:
    """Split kernel runs, ordered by start, at the markers; what lies before the first or after the last is dropped."""
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
    """Nanoseconds in which at least one of the kernels, ordered by start, was running."""
    total, covered_until = 0, 0
    for run in runs:
        total += max(0, run.end_ns - max(run.start_ns, covered_until))
        covered_until = max(covered_until, run.end_ns)
    return total


def graph_launches_of(recorder: Any) -> int:
    """How often a finished recording saw a CUDA graph launched."""
    return sum(event.name().startswith(GRAPH_LAUNCHES) for event in recorder.profiler.kineto_results.events())


def operators_of(step: Step, ctx: int) -> Seen:
    """The operators that a step at ctx runs on a CPU, where there are no kernels to name."""
    from torch.profiler import ProfilerActivity, profile

    step.restart(ctx)
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as running:
        step().item()
    return Seen(Counter(event.name() for event in running.profiler.kineto_results.events()))
