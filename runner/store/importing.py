"""Import of every record of a folder into the store, each exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runner.ab import check
from runner.errors import BadRecord, StoreUnreachable
from runner.record import spool
from runner.record.sidecar import forget_runs, remembered_run
from runner.record.verify import recompute
from runner.store import connection
from runner.store.ab_run import commit_comparison
from runner.store.commit import Committed, store_view
from runner.store.entry import close_abandoned
from runner.store.look.seen import Away
from runner.store.session_run import view


@dataclass(frozen=True)
class Refused:
    """File that was not imported, and the reason. With `by_store` the store refused it and the file is correct."""

    path: Path
    reason: str
    by_store: bool = False


@dataclass(frozen=True)
class ImportReport:
    """Result of an import, as run ids.

    `imported` and `present` (in the store before) are runs of sessions, `closed` abandoned runs, which are FAILED now.
    `manifests` counts the manifests of A/Bs in the folder. `comparisons` are the runs of those with a complete block.
    """

    imported: tuple[str, ...]
    present: tuple[str, ...]
    manifests: int
    comparisons: tuple[str, ...]
    refused: tuple[Refused, ...]
    closed: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Returns whether there was nothing to import or to close."""
        return not (self.imported or self.present or self.manifests or self.refused or self.closed)


def import_folder(folder: Path) -> ImportReport:
    """Commits every record below `folder`, then the manifests of A/Bs, and closes the runs of killed processes.

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
    for path in files:
        with _refusals(path, refused):
            committed = _import_file(path)
            (present if committed.was_present else imported).append(committed.run_id)
    manifests = spool.manifest_files(folder)
    for path in manifests:
        with _refusals(path, refused):
            comparisons += _import_manifest(path)
    closed = close_abandoned(folder)
    forget_runs(spool.clear_abandoned(folder))
    return ImportReport(
        tuple(imported), tuple(present), len(manifests), tuple(comparisons), tuple(refused), tuple(closed)
    )


@contextmanager
def _refusals(path: Path, refused: list[Refused]) -> Iterator[None]:
    """Appends to `refused` if the file or the store is at fault. Raises the errors of a store that takes no record."""
    try:
        yield
    except BadRecord as error:
        prefix = str(BadRecord(f"{path}:"))  # errors mask and join a path that contains secrets or line breaks
        refused.append(Refused(path, str(error).removeprefix(prefix).lstrip()))
    except StoreUnreachable as error:
        connection.check_accepts_records(path)  # raises if no further record could be imported
        refused.append(Refused(path, str(error), by_store=True))


def _import_manifest(path: Path) -> list[str]:
    """Returns the id of the A/B's run in a list, which is empty without a complete block."""
    checked = check.read_whole(path)
    if not checked.manifest.complete:
        return []
    return [commit_comparison(checked.manifest, check.period_ms(checked), None, remembered_run(path))]


def _import_file(path: Path) -> Committed:
    session_view = view(recompute.read_verified(path), path.read_text(encoding="utf-8"))
    with connection.opened(path) as client:
        return store_view(client, session_view, remembered_run(path))
