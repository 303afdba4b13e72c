"""MLflow store of the records, filled from the spool.

The import of this package is cheap. The first call that uses a store imports MLflow.
"""

from __future__ import annotations

from runner.store.ab_run import commit_comparison
from runner.store.commit import commit
from runner.store.connection import before_measuring
from runner.store.entry import EntryRun, entry_run
from runner.store.importing import ImportReport, Refused, import_folder
from runner.store.report import claim_report, commit_report
from runner.store.summary_run import Summary
from runner.store.teamserver import run as run_server
from runner.store.ui import LAST_PORT, LOOPBACK, check_options, local_address, serve, served_at, view_addresses

__all__ = [
    "LAST_PORT",
    "LOOPBACK",
    "EntryRun",
    "ImportReport",
    "Refused",
    "Summary",
    "before_measuring",
    "check_options",
    "claim_report",
    "commit",
    "commit_comparison",
    "commit_report",
    "entry_run",
    "import_folder",
    "local_address",
    "run_server",
    "serve",
    "served_at",
    "view_addresses",
]
