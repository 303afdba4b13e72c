"""The sessions in a spool, by what they measured, and what each says about its cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.cell.vocabulary import CPU
from runner.errors import (
    DiskFull,
    GpuNotFound,
    Infeasible,
    Interrupted,
    MissingPackage,
    NoContainer,
    OutOfMemory,
    StoreUnreachable,
    Terminated,
)
from runner.plan.sessionplan import Plan
from runner.record import expected
from runner.study.recorded.known import Known

TRANSIENT = tuple(
    kind.reason
    for kind in (DiskFull, GpuNotFound, Interrupted, MissingPackage, NoContainer, StoreUnreachable, Terminated)
)
"""Reasons of sessions that say nothing about the cell."""
OF_MEMORY = (Infeasible.reason, OutOfMemory.reason)
"""Reasons that hold for a card, whose memory is always the same, but not for a host."""
FROM_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
"""Signals that end a worker from outside; the kernel sends SIGKILL when the host's memory runs out."""

Difference = Callable[[Known], "str | None"]
"""Returns why a session of a cell is not of today's code and environment, None if it is."""


@dataclass(frozen=True)
class Attempts:
    """The sessions of a cell, the oldest first. `valid` are those of one group. `outdated` are measured ones of other
    code or another environment.

    `failed` are those without a measurement whose cause may come again. Sessions that ended for another reason, such as
    Ctrl-C, are left out.
    """

    valid: tuple[Known, ...] = ()
    invalid: tuple[Known, ...] = ()
    outdated: tuple[Known, ...] = ()
    failed: tuple[Known, ...] = ()

    @property
    def failure(self) -> Known | None:
        """Returns the last failed session if no valid one follows it."""
        if not self.failed or (self.valid and self.valid[-1].started_ms > self.failed[-1].started_ms):
            return None
        return self.failed[-1]


class SpooledSessions:
    """The sessions of a spool."""

    def __init__(self, sessions: Iterable[Known]) -> None:
        self._by_cell: dict[str, list[Known]] = defaultdict(list)
        self._by_folder: dict[Path, list[Known]] = defaultdict(list)
        for known in sorted(sessions, key=lambda each: each.started_ms):
            self._by_cell[known.cell_key].append(known)
            self._by_folder[known.path.parent].append(known)

    def of_cell(self, plan: Plan, key: str, study: str | None) -> Sequence[Known]:
        """Returns the sessions of a plan's cell with its protocol and seed, the oldest first; those of one study, or of
        all if it is None. They had the plan's condition of the host. They measured energy if the plan does; one with
        energy also counts for a plan without."""
        asked = (plan.protocol, plan.seed, plan.condition_text)
        return [
            known
            for known in self._by_cell.get(key, ())
            if (known.protocol, known.seed, known.host_condition) == asked
            and (known.energy or not plan.energy)
            and study in (None, known.study)
        ]

    def in_folder(self, folder: Path) -> Sequence[Known]:
        """Returns the sessions whose records are in this folder, the oldest first."""
        return self._by_folder.get(folder, ())


def session_s(sessions: Sequence[Known], energy: bool) -> float | None:
    """Returns the seconds of the newest measured session, without measuring energy unless that is asked for; None if
    there is none."""
    known_s = (expected.without_unasked(known.cost_s, energy) for known in reversed(sessions))
    return next((seconds for seconds in known_s if seconds is not None), None)


def attempts(sessions: Sequence[Known], plan: Plan, difference: Difference) -> Attempts:
    """Returns the sessions of a cell by their outcome."""
    measured = [known for known in sessions if known.is_measured]
    is_current = {known.session_id: difference(known) is None for known in measured}
    current = [known for known in measured if is_current[known.session_id]]
    return Attempts(
        valid=newest_group(current),
        invalid=tuple(known for known in current if not known.valid),
        outdated=tuple(known for known in measured if not is_current[known.session_id]),
        failed=tuple(known for known in sessions if not known.is_measured and is_failure(known, plan)),
    )


def is_failure(known: Known, plan: Plan) -> bool:
    """Returns whether the cause of a session without a measurement may come again."""
    is_of_host = plan.cell.gpu == CPU and known.reason in OF_MEMORY
    return not (known.reason in TRANSIENT or is_of_host or known.signal in FROM_OUTSIDE)


def newest_group(sessions: Sequence[Known]) -> tuple[Known, ...]:
    """Returns the valid sessions that are one group with the newest one: of the same code_key and env_key."""
    valid = [known for known in sessions if known.valid]
    return tuple(one for one in valid if (one.code_key, one.env_key) == (valid[-1].code_key, valid[-1].env_key))
