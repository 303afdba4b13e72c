"""How far each entry of a study is: its finished sessions, those that are missing, and why it is not measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runner.ab import blocks, manifest
from runner.ab.arms import Pair
from runner.counts import counted
from runner.errors import BadRecord, Infeasible
from runner.study.declared import Study
from runner.study.machines import Machines, OfToday
from runner.study.planned import Planned
from runner.study.recorded import spooled
from runner.study.recorded.known import Known
from runner.study.recorded.spooled import Attempts, SpooledSessions

DONE, MISSING, FAILED, UNFIT, WAITING = "done", "missing", "failed", "too large", "waiting"
STATUSES = (DONE, MISSING, FAILED, UNFIT, WAITING)


@dataclass(frozen=True)
class Standing:
    """An entry and its sessions: those of both arms for an A/B.

    `session_s` is how long a session may take, None if that is not known. `reason` says why the entry failed, does not
    fit or waits. `outdated` counts measured sessions of other code or another environment, `lost` the planned ones
    whose place one took that is not valid. `next_index` is the index of the cell's next session.
    """

    planned: Planned
    status: str
    done: int
    missing: int
    reason: str | None = None
    session_s: float | None = None
    outdated: int = 0
    lost: int = 0
    next_index: int = 0
    is_recorded: bool = False
    """whether the spool has a record that says why the entry failed"""


@dataclass(frozen=True)
class Situation:
    """The facts that the standing of entries depends on.

    `round_tag` is the study of the sessions that count, None for all. `retry` counts no failure, so that entries that
    failed are measured again.
    """

    spool: Path
    sessions: SpooledSessions
    today: OfToday
    machines: Machines
    round_tag: str | None = None
    retry: bool = False


def standings(study: Study, entries: Sequence[Planned], situation: Situation) -> tuple[Standing, ...]:
    """Returns how far each entry of a study is."""
    return tuple(_standing(study, planned, situation) for planned in entries)


def _standing(study: Study, planned: Planned, situation: Situation) -> Standing:
    waits = None if planned.waits_for is None else situation.machines.lack(planned.waits_for)
    if not planned.plans:
        count = study.sessions if planned.entry.arms is None else 2 * study.sessions
        status, reason = (WAITING, waits) if planned.failure is None else (FAILED, planned.failure)
        return Standing(planned, status, 0, count, reason)
    if planned.pair is not None:
        found = _pair(study, planned, planned.pair, situation)
    elif planned.waits_for is not None:
        found = _elsewhere(study, planned, situation)
    else:
        found = _cell(study, planned, situation)
    if found.status == DONE:
        return found
    if planned.obstacle is not None:
        return replace(found, status=UNFIT, reason=planned.obstacle)
    return found if waits is None else replace(found, status=WAITING, reason=waits)


def _elsewhere(study: Study, planned: Planned, situation: Situation) -> Standing:
    """Returns the standing of a cell of another machine: its environment is that of its newest valid session."""
    (plan,), (key,) = planned.plans, planned.keys
    sessions = situation.sessions.of_cell(plan, key, situation.round_tag)
    done = len(spooled.newest_group(sessions))
    missing = max(0, study.sessions - done)
    return Standing(planned, MISSING if missing else DONE, done, missing, session_s=_session_s(planned, situation))


def _session_s(planned: Planned, situation: Situation) -> float | None:
    """Returns how long a session may take: as long as the newest one of the same cells, in whatever round."""
    cells = zip(planned.plans, planned.keys, strict=True)
    sessions = [known for plan, key in cells for known in situation.sessions.of_cell(plan, key, None)]
    in_order = sorted(sessions, key=lambda known: known.started_ms)
    return spooled.session_s(in_order, any(plan.energy for plan in planned.plans))


def _cell(study: Study, planned: Planned, situation: Situation) -> Standing:
    (plan,), (key,), request = planned.plans, planned.keys, planned.entry.request
    sessions = situation.sessions.of_cell(plan, key, situation.round_tag)
    found = spooled.attempts(sessions, plan, lambda known: situation.today.difference(known, request, plan))
    done, reason = len(found.valid), None if situation.retry else _failure(found, study.sessions)
    wanted = max(0, study.sessions - done)
    lost = 0 if situation.retry else min(wanted, len(found.invalid))
    return Standing(
        planned,
        status=DONE if done >= study.sessions else MISSING if reason is None else FAILED,
        done=done,
        missing=wanted - lost,
        reason=reason,
        session_s=_session_s(planned, situation),
        outdated=len(found.outdated),
        lost=lost,
        next_index=1 + max((known.index for known in sessions), default=-1),
        is_recorded=bool(found.failed) or any(known.reason == Infeasible.reason for known in sessions),
    )


def _failure(found: Attempts, sessions: int) -> str | None:
    """Returns why no further session is measured, None if more are. One that is not valid counts as measured."""
    if found.failure is not None:
        return _outcome(found.failure)
    if found.invalid and len(found.valid) + len(found.invalid) >= sessions:
        return f"{counted(len(found.invalid), 'session')} not valid: {found.invalid[-1].reasons[0]}"
    return None


def _outcome(known: Known) -> str:
    return f"{known.reason}: {known.message}"


def _pair(study: Study, planned: Planned, pair: Pair, situation: Situation) -> Standing:
    declared = manifest.declare(pair, study.sessions, study.extension)
    folder = manifest.folder_of(situation.spool, declared)
    try:
        current = manifest.current(declared, folder)
    except BadRecord as error:
        return Standing(planned, FAILED, 0, 2 * study.sessions, str(error), is_recorded=True)
    missing = sum(
        blocks.remaining(current, situation.machines.host_id(pair.a.plan.device.uuid), study.sessions).values()
    )
    sessions = situation.sessions.in_folder(folder)
    reason = None if situation.retry or not missing else next(_pair_failures(current, sessions, pair), None)
    return Standing(
        planned,
        status=DONE if not missing else MISSING if reason is None else FAILED,
        done=2 * study.sessions - missing,
        missing=missing,
        reason=reason,
        session_s=_session_s(planned, situation),
        is_recorded=reason is not None,
    )


def _pair_failures(current: manifest.Manifest, sessions: Sequence[Known], pair: Pair) -> Iterator[str]:
    """Yields why the last session of an A/B failed, if it did."""
    last = current.sessions[-1] if current.sessions else None
    newest = sessions[-1] if sessions else None
    if newest is not None and not newest.is_measured and spooled.is_failure(newest, pair.a.plan):
        yield _outcome(newest)
    if last is not None and not last.valid:
        yield f"session {last.session} of arm {last.arm} is not valid, or cannot be compared"
