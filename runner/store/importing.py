"""Import of every record of a folder into the store, each exactly once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from pathlib import Path

from runner.ab import check
from runner.errors import BadRecord, StoreUnreachable
from runner.record import spool
from runner.record.sidecar import forget_runs, remembered_run
from runner.record.verify import recompute
from runner.store import address, connection, lock
from runner.store.ab_run import commit_comparison
from runner.store.abandoned import close_abandoned
from runner.store.commit import Committed, Known, store_view
from runner.store.look.seen import Away
from runner.store.session_run import View, view

BATCH_RECORDS = 100
"""Records that are read before the store is opened for all of them."""
HELD_S = 10.0
"""Seconds after which a batch releases the store's lock, on which the commit of another command waits `lock.WAIT_S`."""


@dataclass(frozen=True)
class Refused:
    """File that was not imported, and the reason. With `by_store` the store refused it and the file is correct."""

    path: Path
    reason: str
    by_store: bool = False


@dataclass(frozen=True)
class ImportReport:
    """Result of an import, as run ids.

    `imported` and `present` (in the store before) are runs of sessions, `closed` abandoned runs, which are FAILED now,
    `left` runs that are RUNNING and whose process cannot be asked from here.
    `manifests` counts the manifests of A/Bs in the folder. `comparisons` are the runs of those with a complete block.
    """

    imported: tuple[str, ...]
    present: tuple[str, ...]
    manifests: int
    comparisons: tuple[str, ...]
    refused: tuple[Refused, ...]
    closed: tuple[str, ...]
    left: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Returns whether there was nothing to import or to close."""
        return not (self.imported or self.present or self.manifests or self.refused or self.closed)


def import_folder(folder: Path, older_than: timedelta | None = None) -> ImportReport:
    """Commits every record below `folder`, then the manifests of A/Bs, and closes the runs of killed processes, as
    `abandoned.close_abandoned` does.

    A record with an error that `runner verify` reports is not imported, since its run would look correct. The report
    names such a file, and any file that the store refuses while it takes others; the import continues. Raises BadValue
    if the folder does not exist, StoreUnreachable or DiskFull if the store takes no record (any more). A repeated
    import continues after such an error.
    """
    spool.check_folder(folder)
    imported: list[str] = []
    present: list[str] = []
    refused: list[Refused] = []
    comparisons: list[str] = []
    files = list(spool.record_files(folder))
    if files:
        with suppress(Away):  # the check has a shorter timeout than a commit
            connection.check_accepts_records(files[0])
    for paths in _batches(files):
        for committed in _import_batch(paths, refused):
            (present if committed.was_present else imported).append(committed.run_id)
    manifests = spool.manifest_files(folder)
    for path in manifests:
        with _refusals(path, refused):
            comparisons += _import_manifest(path)
    ends = close_abandoned(folder, older_than)
    forget_runs(spool.clear_abandoned(folder))
    return ImportReport(
        tuple(imported), tuple(present), len(manifests), tuple(comparisons), tuple(refused), ends.closed, ends.left
    )


@contextmanager
def _refusals(path: Path, refused: list[Refused]) -> Iterator[None]:
    """Appends to `refused` if the file or the store is at fault. Raises the errors of `_refusal`."""
    try:
        yield
    except (BadRecord, StoreUnreachable) as error:
        refused.append(_refusal(path, error))


def _refusal(path: Path, error: BadRecord | StoreUnreachable) -> Refused:
    """Returns the file with the error's reason. Raises the errors of a store that takes no further record."""
    if isinstance(error, StoreUnreachable):
        connection.check_accepts_records(path)
        return Refused(path, str(error), by_store=True)
    prefix = str(BadRecord(f"{path}:"))  # errors mask and join a path that contains secrets or line breaks
    return Refused(path, str(error).removeprefix(prefix).lstrip())


def _import_manifest(path: Path) -> list[str]:
    """Returns the id of the A/B's run in a list, which is empty without a complete block."""
    checked = check.read_whole(path)
    if not checked.manifest.complete:
        return []
    return [commit_comparison(checked.manifest, check.period_ms(checked), None, remembered_run(path))]


def _batches(files: Iterable[Path]) -> Iterator[Sequence[Path]]:
    """Yields the files in their order, those of one folder together: an error names the folder to import again."""
    for _, group in groupby(files, key=lambda path: path.parent):
        paths = list(group)
        for start in range(0, len(paths), BATCH_RECORDS):
            yield paths[start : start + BATCH_RECORDS]


def _import_batch(paths: Sequence[Path], refused: list[Refused]) -> Iterator[Committed]:
    """Yields what became of each record. The files are read and verified without the lock, so that others may have
    it."""
    views: dict[Path, View] = {}
    for path in paths:
        with _refusals(path, refused):
            views[path] = view(recompute.read_verified(path), path.read_text(encoding="utf-8"))
    remaining = deque(views.items())
    while remaining:
        try:
            yield from _commit(remaining)
        except (BadRecord, StoreUnreachable) as error:
            path, _ = remaining.popleft()
            refused.append(_refusal(path, error))
        time.sleep(2 * lock.POLL_S)  # who waits for the lock may have it now


def _commit(remaining: deque[tuple[Path, View]]) -> Iterator[Committed]:
    """Commits records from the left for HELD_S, and removes each that is committed. Raises the errors of `commit`."""
    with connection.opened(remaining[0][0]) as client:
        deadline = time.monotonic() + HELD_S
        # another host, which does not see this lock, may have stored a session meanwhile
        is_shared = address.sqlite_file(client.tracking_uri) is None
        known = Known.read(client, [session_view.session for _, session_view in remaining])
        while remaining:
            path, session_view = remaining[0]
            if is_shared:
                known = known.with_runs_of(client, session_view.session)
            committed = store_view(client, session_view, remembered_run(path), known)
            remaining.popleft()
            yield committed
            if time.monotonic() > deadline:
                break
