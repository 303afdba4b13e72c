"""Import: every record of a folder into the store, each exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runner import recompute
from runner.errors import BadRecord, BadValue
from runner.store import connection
from runner.store.commit import store_view
from runner.store.entry import close_abandoned
from runner.store.sidecar import remembered_run
from runner.store.view import view


@dataclass(frozen=True)
class Refused:
    """A file that was not imported, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class ImportReport:
    """Run ids: `imported`, `present` (in the store before), `closed` (abandoned runs, now FAILED)."""

    imported: tuple[str, ...]
    present: tuple[str, ...]
    refused: tuple[Refused, ...]
    closed: tuple[str, ...]


def import_folder(folder: Path) -> ImportReport:
    """Commit every `*.json` record below `folder`, then close the runs that killed entries left open.

    A record that is damaged, or in which `runner verify` finds anything else wrong, is named in the report, stays where
    it is and stops nothing: in the store nobody could tell its run from a right one. Raises BadValue where there is
    no such folder, StoreUnreachable or DiskFull where the store takes no more: what is in it stays, the rest can
    follow.
    """
    if not folder.is_dir():
        raise BadValue(f"{folder}: no such folder of records")
    done: dict[bool, list[str]] = {False: [], True: []}
    refused: list[Refused] = []
    for path in sorted(folder.rglob("*.json")):
        try:
            run_id, already = _import_file(path)
        except BadRecord as error:
            refused.append(Refused(path, str(error).removeprefix(f"{path}: ")))
        else:
            done[already].append(run_id)
    return ImportReport(tuple(done[False]), tuple(done[True]), tuple(refused), tuple(close_abandoned(folder)))


def _import_file(path: Path) -> tuple[str, bool]:
    shown = view(recompute.read_verified(path))
    with connection.opened(path) as client:
        committed = store_view(client, shown, remembered_run(path))
    return committed.run_id, committed.already
