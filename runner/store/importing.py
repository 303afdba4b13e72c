"""Import: every record of a folder into the store, each exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runner.ab import check
from runner.errors import BadRecord, BadValue, StoreUnreachable
from runner.record import spool
from runner.record.sidecar import forget_runs, remembered_run
from runner.record.verify import recompute
from runner.store import connection
from runner.store.ab_run import commit_comparison
from runner.store.commit import store_view
from runner.store.entry import close_abandoned
from runner.store.look.seen import Away
from runner.store.session_run import view


@dataclass(frozen=True)
class Refused:
    """A file that was not imported, and why; `by_store` says that nothing is wrong with the file itself."""

    path: Path
    reason: str
    by_store: bool = False


@dataclass(frozen=True)
class ImportReport:
    """Run ids: `imported`, `present` (in the store before), `comparisons` (of A/Bs, which have no session of their
    own), `closed` (abandoned runs, now FAILED)."""

    imported: tuple[str, ...]
    present: tuple[str, ...]
    comparisons: tuple[str, ...]
    refused: tuple[Refused, ...]
    closed: tuple[str, ...]


def import_folder(folder: Path) -> ImportReport:
    """Commit every record below `folder`, then the manifests of A/Bs, and close the runs that killed entries left open.

    A record that is damaged, or in which `runner verify` finds anything else wrong, is named in the report, stays where
    it is and stops nothing: in the store nobody could tell its run from a right one. Nor does one that the store
    refuses while it would take others. Raises BadValue where there is no such folder, StoreUnreachable or DiskFull
    where the store takes nothing, or no more: what is in it stays, the rest can follow.
    """
    spool.check_folder(folder, BadValue)
    done: dict[bool, list[str]] = {False: [], True: []}
    refused: list[Refused] = []
    comparisons: list[str] = []
    files = list(spool.record_files(folder))
    if files:
        with suppress(Away):  # a look is less patient than a commit
            connection.check_fit(files[0])
    for path in files:
        with _named(path, refused):
            run_id, already = _import_file(path)
            done[already].append(run_id)
    for path in spool.manifest_files(folder):
        with _named(path, refused):
            comparisons += _import_manifest(path)
    closed = close_abandoned(folder)
    forget_runs(spool.clear_abandoned(folder))
    return ImportReport(tuple(done[False]), tuple(done[True]), tuple(comparisons), tuple(refused), tuple(closed))


@contextmanager
def _named(path: Path, refused: list[Refused]) -> Iterator[None]:
    try:
        yield
    except BadRecord as error:
        named = str(BadRecord(f"{path}:"))  # as errors write a path, on one line
        refused.append(Refused(path, str(error).removeprefix(named).lstrip()))
    except StoreUnreachable as error:
        connection.check_fit(path)  # else nothing that follows could be imported
        refused.append(Refused(path, str(error), by_store=True))


def _import_manifest(path: Path) -> list[str]:
    """The A/B's run; none as long as it has no complete block."""
    checked = check.read_whole(path)
    if not checked.manifest.complete:
        return []
    return [commit_comparison(checked.manifest, check.period_ms(checked), None, remembered_run(path))]


def _import_file(path: Path) -> tuple[str, bool]:
    shown = view(recompute.read_verified(path), path.read_text(encoding="utf-8"))
    with connection.opened(path) as client:
        committed = store_view(client, shown, remembered_run(path))
    return committed.run_id, committed.already
