"""Run of a report: tables, figures and page of a store's content at one time. Each report has a run of its own."""

from __future__ import annotations

import time

from runner.store import connection, creation, experiment, owner
from runner.store.commit import closed_on_failure, terminate
from runner.store.made_run import find_run, mlflow_run, name_run
from runner.store.summary_run import FINISHED, Summary, log_summary

REPORT_TAG = "decode_floor.report"
"""Tag with the report's name, which distinguishes its run from sessions and from other programs' runs."""


def claim_report(run_id: str, name: str) -> None:
    """Marks and names the run that MLflow made for this process, before the store is read.

    Raises StoreUnreachable, DiskFull, MissingPackage.
    """
    with connection.opened() as client:
        if (run := mlflow_run(client, run_id)) is not None:
            owner.claim(client, run)
            client.set_tag(run_id, REPORT_TAG, name)
            name_run(client, run, name)


def commit_report(name: str, summary: Summary, run_id: str | None, uri: str | None = None) -> str:
    """Creates the report's run or uses MLflow's, fills and closes it, and returns its id.

    `uri` is the store's (default: the environment's). Raises StoreUnreachable, DiskFull, MissingPackage.
    """
    with connection.opened(uri=uri) as client:
        existing = None if run_id is None else find_run(client, run_id)
        run = existing or creation.run(client, experiment.Experiments(client).home, {REPORT_TAG: name}, name=name)
        with closed_on_failure(client, run):
            if existing is not None:
                owner.claim(client, existing)
            experiment.describe(client, run.info.experiment_id)
            log_summary(client, run, 0, int(time.time() * 1000), summary)
        terminate(client, run.info.run_id, FINISHED)
        return str(run.info.run_id)
