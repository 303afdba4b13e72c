"""The sessions of a big store: what the studies bigcells.yaml and bigarms.yaml leave, drawn from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from runner.ab import blocks, manifest
from runner.ab.manifest import Manifest, SessionEntry
from runner.cell.cell import short_hash
from runner.job import Job
from runner.launch.session import SESSION_ID_LENGTH
from runner.plan.request import Request
from runner.plan.sessionplan import Plan
from runner.record import record
from runner.study.declaration import studyfile
from runner.study.machines import ThisMachine
from runner.study.planned import Planned, plan_study
from tests.support.edits import Edit, derived_again, put, times, without_measurement
from tests.support.jobrecords import job_record
from tests.support.records import STARTED_MS

CELLS, ARMS = (studyfile.read(Path(__file__).with_name(name)) for name in ("bigcells.yaml", "bigarms.yaml"))
OLDER_SHARE = 0.4  # of the sessions of cells: the first ones
HOSTS = 2  # with a card of each kind
SLOT_MS = 90_000  # from the start of a session to that of the next: all of them stand in one row
SKEW = 0.02  # mean excess of a session's times over the fastest
FATES: dict[str, tuple[float, Edit]] = {
    "gate": (0.025, put("gate.checks.-1.errors", lambda errors: [0.31] * len(errors))),
    "collected": (0.025, put("passes.wall.collected", 1)),
    "failed": (0.005, without_measurement),
    "throttled": (0.005, put("snapshots.after.throttle_reasons", ["sw_power_cap"])),
    "drifting": (0.005, put("passes.wall.steps_ms", lambda steps: [*steps[:20], *times(1.08)(steps[20:])])),
}
"""Fate of a session of a cell → its share of all sessions, and its traces in the record. The others are valid."""


@dataclass(frozen=True)
class Session:
    """A session. `older` says whether it is by the code of before; `fate` is `valid` or one of FATES."""

    job: Job
    host_id: str
    older: bool = False
    fate: str = "valid"

    @property
    def id(self) -> str:
        return self.job.session.id

    def record(self) -> dict[str, Any]:
        """Returns the session's record, the same in every run."""
        code = {"code_key": short_hash("code of before", 12)} if self.older else {}
        slower = 1 + Random(self.id).expovariate(1 / SKEW)
        found = job_record(self.job, slower, keys={"host_id": self.host_id, **code})
        if self.fate in FATES:
            FATES[self.fate][1](found)
            derived_again(found)
        return found


class Measurements(NamedTuple):
    """All sessions in order of time, and each A/B with its own ones, which come last."""

    sessions: tuple[Session, ...]
    comparisons: tuple[tuple[Manifest, tuple[Session, ...]], ...]


def measurements(runs: int, comparisons: int, seed: int) -> Measurements:
    """Returns `runs` sessions: those of the A/Bs, and those of one cell for each hundred, the arms before others.

    Raises ValueError for more A/Bs than the study has or the sessions make up.
    """
    chance = Random(seed)
    pairs = chance.sample(plan_study(ARMS, ThisMachine(())), comparisons)
    arms = {key for pair in pairs for key in pair.keys}
    cells = sorted(
        chance.sample(plan_study(CELLS, ThisMachine(())), len(CELLS.entries)), key=lambda cell: cell.keys[0] not in arms
    )
    fates = _fates(runs, runs - 2 * ARMS.sessions * comparisons, chance)
    compared = tuple(_compared(pair, number, seed, len(fates)) for number, pair in enumerate(pairs))
    of_cells = _of_cells(cells[: max(1, runs // CELLS.sessions)], fates, seed)
    return Measurements((*of_cells, *(session for _, own in compared for session in own)), compared)


def _fates(runs: int, count: int, chance: Random) -> list[str]:
    """Returns the fates of `count` sessions, in no order."""
    fates = [fate for fate, (share, _) in FATES.items() for _ in range(ceil(share * runs))]
    return chance.sample([*fates, *["valid"] * (count - len(fates))], count)


def _of_cells(cells: Sequence[Planned], fates: Sequence[str], seed: int) -> Iterator[Session]:
    """Yields a session for each fate, round by round of the cells."""
    for number, fate in enumerate(fates):
        index, place = divmod(number, len(cells))
        (plan,) = cells[place].plans
        job = _job(plan, cells[place].entry.request, index, seed, number)
        yield Session(job, _host_id(plan, index), number < OLDER_SHARE * len(fates), fate)


def _compared(planned: Planned, place: int, seed: int, before: int) -> tuple[Manifest, tuple[Session, ...]]:
    """Returns A/B number `place` as it is measured if nothing goes wrong, after `before` sessions of cells."""
    assert planned.pair is not None
    arms, host_id = {arm.name: arm for arm in planned.pair.arms}, _host_id(planned.plans[0], place)
    made, sessions = manifest.declare(planned.pair, ARMS.sessions, ARMS.extension), []
    for index in range(2 * ARMS.sessions):
        made = blocks.with_open_block(made, host_id, ARMS.sessions)
        arm = arms[made.blocks[-1].next_arm]
        job = _job(arm.plan, arm.request, index, seed, before + 2 * ARMS.sessions * place + index)
        file = record.file_name(job.cell, job.session)
        made = blocks.with_session(made, SessionEntry(index, arm.name, job.session.id, file, valid=True, cooled_s=0.0))
        sessions.append(Session(job, host_id))
    return made, tuple(sessions)


def _job(plan: Plan, request: Request, index: int, seed: int, number: int) -> Job:
    session_id = short_hash([seed, number], SESSION_ID_LENGTH)
    return plan.job(session_id, request.published(), index, STARTED_MS + SLOT_MS * number, 0.0)


def _host_id(plan: Plan, number: int) -> str:
    return short_hash([plan.cell.gpu, number % HOSTS], 12)
