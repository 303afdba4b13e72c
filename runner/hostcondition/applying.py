"""Brings about a condition of the host in the worker, before torch is imported, and observes it at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from runner.errors import Mismatch
from runner.hostcondition import neighbours
from runner.hostcondition.condition import PINNED, HostCondition, check
from runner.machine import host
from runner.record.sections.surroundings import HostConditions

THREADS = "/proc/self/task"


@contextmanager
def applied(condition: HostCondition) -> Iterator[Callable[[], HostConditions]]:
    """Brings the condition about for as long as the context lasts.

    Yields a function that returns what is really so, and raises Mismatch or WorkerFailed if it is not the condition.
    Raises BadPair if this machine cannot have it.
    """
    check(condition)
    allowed_cores = host.cores()
    if condition.kind == PINNED:
        pin(condition.count)
    with neighbours.running(condition.neighbours) as beside:

        def observe() -> HostConditions:
            beside.check()
            cores = cores_of_threads()
            if condition.kind == PINNED and cores != condition.count:
                raise Mismatch(f"host_condition={condition.text}, but the worker's threads ran on {cores} processors")
            return HostConditions(
                declared=condition.text,
                allowed_cores=allowed_cores,
                cores=cores,
                neighbours=condition.neighbours,
                neighbour_cores=beside.cores() if condition.neighbours else None,
            )

        yield observe


def pin(count: int) -> None:
    """Restricts all threads of this process to the last `count` processors that it may use. The first ones handle most
    interrupts."""
    chosen = sorted(os.sched_getaffinity(0))[-count:]
    for thread in map(int, os.listdir(THREADS)):
        with suppress(ProcessLookupError):  # it has ended since
            os.sched_setaffinity(thread, chosen)


def cores_of_threads() -> int:
    """Returns the number of processors that any thread of this process may use."""
    cores: set[int] = set()
    for thread in map(int, os.listdir(THREADS)):
        with suppress(ProcessLookupError):  # it has ended since
            cores |= os.sched_getaffinity(thread)
    return len(cores)
