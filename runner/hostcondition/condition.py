"""A declared condition of the host, and whether this machine can have it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from runner.cell.vocabulary import AUTO
from runner.counts import counted
from runner.errors import BadPair
from runner.machine import host

FIELD = "host_condition"
"""The field of a request, and its tag in MLflow."""
AS_IT_IS = (AUTO, "none")
"""Values of a request for the host as it is."""
PINNED, BUSY = "pinned", "busy"
MOST = 256
"""Largest number of processors or neighbours that a condition can name."""
FORM = rf"({PINNED}|{BUSY}):([1-9][0-9]{{0,2}})"
"""Regular expression of a condition as requests write it."""


@dataclass(frozen=True)
class HostCondition:
    """A condition: `pinned` to `count` logical processors, or `busy` with `count` neighbours that compute."""

    kind: str
    count: int

    @property
    def text(self) -> str:
        """Returns the condition as a request writes it."""
        return f"{self.kind}:{self.count}"

    @property
    def neighbours(self) -> int:
        """Returns the number of processes that compute beside the worker."""
        return self.count if self.kind == BUSY else 0


def requested(request: Mapping[str, str]) -> str | None:
    """Returns the condition that a published request declares, None for the host as it is."""
    text = request.get(FIELD, AUTO)
    return None if text in AS_IT_IS else text


def check(condition: HostCondition) -> None:
    """Raises BadPair if this process may use fewer processors than the condition pins the worker to."""
    allowed = min(host.cores(), host.cpu_quota() or math.inf)
    if condition.kind == PINNED and condition.count > allowed:
        raise BadPair(
            f"host_condition={condition.text} needs {counted(condition.count, 'processor')}, and this process may use "
            f"{allowed:g} here: name fewer, or lift the limit (taskset, cpuset or cpu.max)"
        )
