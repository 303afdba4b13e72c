"""State of a study when it was measured last, and its rounds: `<spool>/.studies/<name>.json`.

The records say what is finished. This file only tells a changed study from an unchanged one, and counts the rounds of
`--redo`, also one that has no record yet.
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from runner import failures
from runner.cell.jsonform import from_json, to_json
from runner.cell.vocabulary import AUTO
from runner.counts import counted
from runner.errors import BadRecord, BadValue
from runner.files import jsontext, plainfile
from runner.plan.request import NONE
from runner.record.record import write_text_durably
from runner.record.spool import unusable
from runner.study.declared import Entry, Study

FOLDER = ".studies"
LOCK = ".lock"
SCHEMA_VERSION = 1
LISTED = 3
"""Entries that a note about a change names."""
LEFT_OUT = ("study",)


@dataclass(frozen=True)
class StudyState:
    """A study as it was last measured. `entries` has each entry in words, `rounds` counts the first round and each
    `--redo`."""

    name: str
    sessions: int
    extension: int
    entries: tuple[str, ...]
    rounds: int = 1
    schema_version: int = SCHEMA_VERSION

    @property
    def tag(self) -> str:
        """Returns the study that the sessions of the current round name: `floor`, then `floor.2`."""
        return self.name if self.rounds == 1 else f"{self.name}.{self.rounds}"


def state_of(study: Study) -> StudyState:
    """Returns the state of a study that was never measured."""
    return StudyState(study.name, study.sessions, study.extension, tuple(map(_words, study.entries)))


def _words(entry: Entry) -> str:
    """Returns an entry in words, without private paths: the fields that the file sets, and the arms."""
    fields = entry.request.published()
    words = [f"{name}={value}" for name, value in fields.items() if value != AUTO and name not in LEFT_OUT]
    if entry.arms is not None:
        arms = entry.arms
        words.append("A/A" if arms.field == NONE else f"{arms.field}={arms.a}/{arms.b}")
    return " ".join(words)


def continued(study: Study, earlier: StudyState | None, recorded: Iterable[str], redo: bool) -> StudyState:
    """Returns the state with which the study continues, in a new round if `redo`.

    `recorded` are the studies that records name: a lost state begins no round of theirs again. The first round counts
    sessions of any study, so a redo of a study without a state begins a new one, too.
    """
    rounds = max(earlier.rounds if earlier else 1, *_rounds(study.name, {*recorded}))
    return replace(state_of(study), rounds=rounds + redo)


def _rounds(name: str, tags: Iterable[str]) -> Iterator[int]:
    """Yields the numbers of a study's rounds among these studies, the first one always."""
    yield 1
    for tag in tags:
        if match := re.fullmatch(rf"{re.escape(name)}\.([1-9][0-9]{{0,5}})", tag, re.ASCII):
            yield int(match[1])


def changes(earlier: StudyState, current: StudyState) -> Iterator[str]:
    """Yields what has changed in the file of a study since it was measured last."""
    for name in ("sessions", "extension"):
        before, now = getattr(earlier, name), getattr(current, name)
        if before != now:
            yield f"{name}: {now}, was {before}"
    if added := _without(current.entries, earlier.entries):
        yield f"added: {_listing(added)}"
    if removed := _without(earlier.entries, current.entries):
        yield f"removed: {_listing(removed)}; the sessions that were measured stay"


def _without(entries: Sequence[str], others: Sequence[str]) -> list[str]:
    known = {*others}
    return [entry for entry in entries if entry not in known]


def _listing(entries: Sequence[str]) -> str:
    named, more = entries[:LISTED], len(entries) - LISTED
    return "; ".join((*named, *([f"and {counted(more, 'more cell')}"] if more > 0 else [])))


def read(spool: Path, name: str) -> StudyState | None:
    """Returns the study's state in the spool, None if it was never measured there. Raises BadRecord for a damaged
    file, and BadValue if the spool is a file."""
    path = _path(spool, name)
    try:
        return from_json(StudyState, jsontext.loads(plainfile.read_text(path)))
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise unusable(error, spool) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = failures.reason(error) if isinstance(error, OSError) else str(error)
        raise BadRecord(
            f"{path}: not the state of a study ({reason}): remove it; nothing is lost, for the records say what is "
            "measured"
        ) from error


def write(spool: Path, state: StudyState) -> None:
    """Writes the state durably. Raises DiskFull or BadValue."""
    write_text_durably(_path(spool, state.name), json.dumps(to_json(state), indent=1) + "\n")


@contextmanager
def exclusive(spool: Path) -> Iterator[None]:
    """Holds the spool for one command of studies, also on a host that is shared.

    Raises BadValue if another process holds it or the folder cannot be written, DiskFull if it has no space.
    """
    try:
        (spool / FOLDER).mkdir(parents=True, exist_ok=True)
        lock = plainfile.opened_lock(spool / FOLDER / LOCK)
    except OSError as error:
        raise unusable(error, spool) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadValue(
                f"{spool}: another process measures studies in this spool: wait until it has ended, or name another"
            ) from error
        yield


def _path(spool: Path, name: str) -> Path:
    return spool / FOLDER / f"{name}.json"
