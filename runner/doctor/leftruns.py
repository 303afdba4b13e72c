"""Runs that are RUNNING: whether their process lives, has ended, or cannot be asked from here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner.counts import counted, listed
from runner.doctor.finding import Finding, note, ok
from runner.errors import DecodeFloorError
from runner.record.spool import DEFAULT_SPOOL
from runner.store import abandoned, address, connection
from runner.store.abandoned import Running
from runner.store.look.seen import RunningRun

RUNS = "runs"
NAMED = 2
"""Runs of a state that the finding names."""
IMPORT = f"python -m runner import {DEFAULT_SPOOL}"


def finding() -> Finding:
    """Returns the finding on the runs that commands have left open. A store that cannot be asked is another check's."""
    uri = address.tracking_uri()
    try:
        with connection.one_line_read_errors(uri):
            found = abandoned.running_of(uri)
    except DecodeFloorError:
        return note(RUNS, "the store cannot be asked for open runs")
    parts = list(_parts(found))
    text = listed(parts, "and") if parts else "no command has left a run RUNNING"
    remedies = list(_remedies(found))
    return note(RUNS, text, "; ".join(remedies)) if remedies else ok(RUNS, text)


def _parts(found: Running) -> Iterator[str]:
    if found.living:
        yield f"{counted(len(found.living), 'run')} of a command that runs now"
    if found.ended:
        yield f"{counted(len(found.ended), 'run')} RUNNING though the process has ended ({_named(found.ended)})"
    if found.unknown:
        yield f"{counted(len(found.unknown), 'run')} RUNNING whose process cannot be asked ({_named(found.unknown)})"


def _named(runs: Sequence[RunningRun]) -> str:
    return ", ".join(run.id for run in runs[:NAMED]) + (" …" if len(runs) > NAMED else "")


def _remedies(found: Running) -> Iterator[str]:
    if found.ended:
        yield f"{IMPORT} closes those of ended processes"
    if found.unknown:
        yield f"{IMPORT} --older-than 7d closes the others that began more than 7 days ago"
