"""The run of a report: tables, figures and page of all that a store held when they were made. Each makes one anew."""

from __future__ import annotations

import time

from runner.store import connection, experiment
from runner.store.commit import closed_on_failure, terminate
from runner.store.made_run import known_run, made_run, name_run
from runner.store.summary_run import FINISHED, Summary, log_summary

REPORT_TAG = "decode_floor.report"
"""Marks such a run, and says what is in it: it is no session, and no stranger either."""


def claim_report(run_id: str, name: str) -> None:
    """Say of the run that MLflow made for this process what it is for, before the store is read. Raises
    StoreUnreachable, DiskFull, MissingPackage."""
    with connection.opened() as client:
        if (run := made_run(client, run_id)) is not None:
            client.set_tag(run_id, REPORT_TAG, name)
            name_run(client, run, name)


def commit_report(name: str, summary: Summary, run_id: str | None, uri: str | None = None) -> str:
    """Make the report's run, or fill the one that MLflow made, and close it; returns its id.

    `uri` is that of the store, left out: the environment's. Raises StoreUnreachable, DiskFull, MissingPackage.
    """
    with connection.opened(uri=uri) as client:
        made = None if run_id is None else known_run(client, run_id)
        run = made or client.create_run(experiment.home(client), tags={REPORT_TAG: name}, run_name=name)
        with closed_on_failure(client, run):
            experiment.describe(client, run.info.experiment_id)
            log_summary(client, run, 0, int(time.time() * 1000), summary)
        terminate(client, run.info.run_id, FINISHED)
        return str(run.info.run_id)
