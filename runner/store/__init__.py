"""The MLflow store: a view of the records, filled from the spool.

Importing this package is cheap; MLflow itself is imported by the first call that talks to a store.
"""

from __future__ import annotations

from runner.store.commit import commit
from runner.store.entry import close_abandoned, fail_run, open_run
from runner.store.importing import ImportReport, Refused, import_folder
from runner.store.sidecar import remember_run, remembered_run

__all__ = [
    "ImportReport",
    "Refused",
    "close_abandoned",
    "commit",
    "fail_run",
    "import_folder",
    "open_run",
    "remember_run",
    "remembered_run",
]
