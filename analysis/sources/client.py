"""Sessions from any MLflow store through its own client: slower than `sql`, and the same result."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from analysis.sources import runs
from analysis.sources.columns import COMMITTED, SERIES_NAME
from analysis.sources.frame import Details, Frame, run_ids, sessions_of, told_of_abs
from analysis.sources.runs import Run
from analysis.sources.stored import check_found, told
from runner.ab.manifest import Manifest
from runner.errors import BadRecord
from runner.store import address, connection, experiment
from runner.store.ab_run import AB_TAG
from runner.store.manifesttags import PREFIX, manifest_of
from runner.store.report import REPORT_TAG
from runner.store.session_run import SESSION_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

PAGE = 1000


class ClientStore:
    """See `frame.Source`: of any store that MLflow reads."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self.shown = address.shown(uri)
        self._run_ids: dict[str, str] = {}

    def frame(self, asked: Sequence[str]) -> Frame:
        return self._frame(asked, only_compared=False)

    def compared(self, asked: Sequence[str]) -> Frame:
        return self._frame(asked, only_compared=True)

    def _frame(self, asked: Sequence[str], only_compared: bool) -> Frame:
        sessions: list[Run] = []
        manifests: dict[str, Manifest] = {}
        left_out: list[str] = []
        strangers = unfinished = 0
        with connection.reading(self._uri) as client:
            for run in _all_runs(client):
                tags = run.data.tags
                if COMMITTED in tags:
                    sessions.append(_of_mlflow(run))
                elif any(key.startswith(PREFIX) for key in tags):
                    _add_manifest(run, manifests, left_out)
                elif SESSION_TAG in tags:
                    unfinished += 1
                elif AB_TAG not in tags and REPORT_TAG not in tags:
                    strangers += 1
            check_found(self.shown, len(sessions), strangers, lambda: experiment.deleted(client))
        if only_compared:
            used = sessions_of(manifests.values())
            sessions = [run for run in sessions if run.tags.get(SESSION_TAG) in used]
        notes = told(strangers, unfinished)
        made = runs.frame(sessions, asked, **told_of_abs(manifests), left_out=left_out, notes=notes)
        self._run_ids = run_ids(made)
        return made

    def details(self, sessions: Sequence[str]) -> dict[str, Details]:
        with connection.reading(self._uri) as client:
            return {session: _details(client, self._run_ids[session]) for session in sessions}


def _all_runs(client: MlflowClient) -> Iterator[MlflowRun]:
    """Every active run of every active experiment."""
    experiments = [found.experiment_id for found in client.search_experiments()]
    token = None
    while True:
        page = client.search_runs(experiments, max_results=PAGE, order_by=["attributes.run_id"], page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _of_mlflow(run: MlflowRun) -> Run:
    return Run(
        run.info.run_id, run.info.start_time, run.info.end_time, run.data.params, run.data.metrics, run.data.tags
    )


def _add_manifest(run: MlflowRun, manifests: dict[str, Manifest], left_out: list[str]) -> None:
    try:
        manifests[run.info.run_id] = manifest_of(run.data.tags, f"run {run.info.run_id}")
    except BadRecord as error:
        left_out.append(str(error))


def _details(client: MlflowClient, run_id: str) -> Details:
    series = client.get_metric_history(run_id, SERIES_NAME)
    numbers = (point for point in series if not math.isnan(point.value))
    steps = tuple(point.value for point in sorted(numbers, key=lambda point: point.step))
    return Details(client.get_run(run_id).data.params, steps)
