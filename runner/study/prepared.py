"""A study ready to be measured: its round, its entries and how far each is, and the series of missing sessions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runner.ab.pairseries import PairSeries
from runner.errors import Failure
from runner.launch.series import SeriesHere
from runner.launch.session import Settings
from runner.study import studystate
from runner.study.cellseries import CellSeries
from runner.study.declared import Study
from runner.study.machines import Machines
from runner.study.planned import Planned, plan_study
from runner.study.recorded import known
from runner.study.recorded.spooled import SpooledSessions
from runner.study.standing import FAILED, MISSING, UNFIT, Situation, Standing, standings
from runner.study.studystate import StudyState


@dataclass(frozen=True)
class Prepared:
    """A study as it stands. `study` names the current round. `unreadable` are files of the spool that are no records.

    `changes` say what the file has changed since the study was measured last.
    """

    machines: Machines
    study: Study
    state: StudyState
    changes: tuple[str, ...]
    entries: tuple[Planned, ...]
    standings: tuple[Standing, ...]
    unreadable: tuple[known.Unreadable, ...]


def prepare(study: Study, spool: Path, machines: Machines, redo: bool, retry: bool) -> Prepared:
    """Returns the study as it stands by the records of the spool, for the machines that measure it.

    `redo` begins a new round, in which no session of an earlier one counts. `retry` measures failed entries again.
    Raises the errors of `plan_study`, and BadRecord if the study's state is damaged.
    """
    earlier = studystate.read(spool, study.name)
    found = known.read(spool)
    state = studystate.continued(study, earlier, (session.study for session in found.sessions), redo)
    current = _tagged(study, state.tag)
    entries = plan_study(current, machines)
    changes = () if earlier is None else tuple(studystate.changes(earlier, state))
    return _standing(Prepared(machines, current, state, changes, entries, (), ()), found, spool, retry)


def again(prepared: Prepared, spool: Path, errors: Sequence[tuple[Planned, Failure]]) -> Prepared:
    """Returns the study as it stands after its sessions. An entry whose sessions ended with an error has failed."""
    found = _standing(prepared, known.read(spool), spool, retry=False)
    reasons = {id(planned): f"{error.reason}: {error}" for planned, error in errors}
    return replace(found, standings=tuple(_with_error(each, reasons) for each in found.standings))


def _with_error(standing: Standing, reasons: Mapping[int, str]) -> Standing:
    reason = reasons.get(id(standing.planned))
    return standing if reason is None or standing.status != MISSING else replace(standing, status=FAILED, reason=reason)


def _standing(prepared: Prepared, found: known.Found, spool: Path, retry: bool) -> Prepared:
    round_tag = None if prepared.state.rounds == 1 else prepared.state.tag
    machines = prepared.machines
    situation = Situation(spool, SpooledSessions(found.sessions), machines.today(spool), machines, round_tag, retry)
    standing = standings(prepared.study, prepared.entries, situation)
    return replace(prepared, standings=standing, unreadable=found.unreadable)


def _tagged(study: Study, tag: str) -> Study:
    """Returns the study with the name of its current round."""
    if study.name == tag:
        return study
    entries = tuple(replace(entry, request=replace(entry.request, study=tag)) for entry in study.entries)
    return replace(study, name=tag, entries=entries)


def missing(prepared: Prepared) -> Iterator[tuple[Standing, int]]:
    """Yields the entries that are measured now, each with the number of its missing sessions.

    A cell that does not fit has one session, whose record says so, if the spool does not have it yet.
    """
    for standing in prepared.standings:
        if standing.status == MISSING:
            yield standing, standing.missing
        elif _is_to_be_recorded(standing):
            yield standing, 1


def missing_series(prepared: Prepared, settings: Settings) -> Iterator[tuple[SeriesHere, Standing]]:
    """Yields the series of each entry that is measured on this machine now, with its standing."""
    study = prepared.study
    for standing, count in missing(prepared):
        pair, request = standing.planned.pair, standing.planned.entry.request
        if pair is not None:
            yield PairSeries(pair, study.sessions, study.extension, settings), standing
        else:
            yield CellSeries(request, count, standing.next_index, standing.session_s, settings), standing


def _is_to_be_recorded(standing: Standing) -> bool:
    is_here = standing.planned.waits_for is None and standing.planned.pair is None
    return standing.status == UNFIT and is_here and not standing.is_recorded
