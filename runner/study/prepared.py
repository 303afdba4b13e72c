"""A study ready to be measured: its round, its entries and how far each is, and the series of missing sessions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runner.ab.pairseries import PairSeries
from runner.cell.vocabulary import CPU
from runner.errors import Failure
from runner.launch.series import Series
from runner.launch.session import Settings
from runner.machine import nvml
from runner.plan.cards import Installed
from runner.study import studystate
from runner.study.cellseries import CellSeries
from runner.study.declared import Study
from runner.study.planned import Planned, plan_study
from runner.study.recorded import known
from runner.study.recorded.spooled import SpooledSessions
from runner.study.recorded.today import Today
from runner.study.standing import FAILED, MISSING, UNFIT, Situation, Standing, standings
from runner.study.studystate import StudyState


@dataclass(frozen=True)
class Prepared:
    """A study as it stands. `study` names the current round. `unreadable` are files of the spool that are no records.

    `changes` say what the file has changed since the study was measured last.
    """

    study: Study
    state: StudyState
    changes: tuple[str, ...]
    entries: tuple[Planned, ...]
    standings: tuple[Standing, ...]
    unreadable: tuple[known.Unreadable, ...]


def prepare(study: Study, spool: Path, redo: bool, retry: bool) -> Prepared:
    """Returns the study as it stands by the records of the spool.

    `redo` begins a new round, in which no session of an earlier one counts. `retry` measures failed entries again.
    Raises the errors of `plan_study`, and BadRecord if the study's state is damaged.
    """
    earlier = studystate.read(spool, study.name)
    found = known.read(spool)
    state = studystate.continued(study, earlier, (session.study for session in found.sessions), redo)
    current = _tagged(study, state.tag)
    entries = plan_study(current, _installed(study))
    changes = () if earlier is None else tuple(studystate.changes(earlier, state))
    return _standing(Prepared(current, state, changes, entries, (), ()), found, spool, retry)


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
    situation = Situation(spool, SpooledSessions(found.sessions), Today(spool), round_tag, retry)
    standing = standings(prepared.study, prepared.entries, situation)
    return replace(prepared, standings=standing, unreadable=found.unreadable)


def _tagged(study: Study, tag: str) -> Study:
    """Returns the study with the name of its current round."""
    if study.name == tag:
        return study
    entries = tuple(replace(entry, request=replace(entry.request, study=tag)) for entry in study.entries)
    return replace(study, name=tag, entries=entries)


def _installed(study: Study) -> Installed:
    """Returns the GPUs of this machine, which a study of CPU cells does not need."""
    return () if all(entry.request.gpu == CPU for entry in study.entries) else nvml.list_gpus()


def missing_series(prepared: Prepared, settings: Settings) -> Iterator[tuple[Series, Standing]]:
    """Yields the series of each entry that is measured here, with its standing.

    A cell that does not fit has one session, whose record says so, if the spool does not have it yet.
    """
    study = prepared.study
    for standing in prepared.standings:
        pair, request = standing.planned.pair, standing.planned.entry.request
        if standing.status == MISSING and pair is not None:
            yield PairSeries(pair, study.sessions, study.extension, settings), standing
        elif standing.status == MISSING or _is_to_be_recorded(standing):
            count = standing.missing if standing.status == MISSING else 1
            yield CellSeries(request, count, standing.next_index, standing.session_s, settings), standing


def _is_to_be_recorded(standing: Standing) -> bool:
    is_here = standing.planned.waits_for is None and standing.planned.pair is None
    return standing.status == UNFIT and is_here and not standing.is_recorded
