"""Sessions from any MLflow store through MLflow's client: the same result as `sql`, but slower."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from analysis.sources import runs
from analysis.sources.columns import COMMITTED, SERIES_NAME
from analysis.sources.frame import Details, Frame, ab_fields, run_ids, sessions_of
from analysis.sources.runs import Run
from analysis.sources.stored import check_sessions, source_notes
from runner.ab.manifest import Manifest
from runner.errors import BadRecord
from runner.store import address, connection, experiment
from runner.store.ab_run import AB_TAG
from runner.store.failed_run import REASON_TAG
from runner.store.manifesttags import PREFIX, manifest_from_tags
from runner.store.report import REPORT_TAG
from runner.store.session_run import SESSION_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

PAGE = 1000


class ClientStore:
    """A `frame.Source` for any store that MLflow can read."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self.label = address.masked_uri(uri)
        self._run_ids: dict[str, str] = {}

    def frame(self, needed: Sequence[str]) -> Frame:
        return self._frame(needed, only_compared=False)

    def compared(self, needed: Sequence[str]) -> Frame:
        return self._frame(needed, only_compared=True)

    def _frame(self, needed: Sequence[str], only_compared: bool) -> Frame:
        sessions: list[Run] = []
        manifests: dict[str, Manifest] = {}
        left_out: list[str] = []
        foreign = unfinished = failed = 0
        with connection.reading(self._uri) as client:
            for run in _all_runs(client):
                tags = run.data.tags
                if COMMITTED in tags:
                    sessions.append(_converted(run))
                elif any(key.startswith(PREFIX) for key in tags):
                    _add_manifest(run, manifests, left_out)
                elif SESSION_TAG in tags:
                    unfinished += 1
                elif AB_TAG in tags or REPORT_TAG in tags:
                    pass
                elif tags.get(REASON_TAG):
                    failed += 1
                else:
                    foreign += 1
            check_sessions(self.label, len(sessions), foreign, failed, lambda: experiment.deleted(client))
        if only_compared:
            used = sessions_of(manifests.values())
            sessions = [run for run in sessions if run.tags.get(SESSION_TAG) in used]
        notes = source_notes(foreign, unfinished)
        frame = runs.frame(sessions, needed, **ab_fields(manifests), left_out=left_out, notes=notes)
        self._run_ids = run_ids(frame)
        return frame

    def details(self, sessions: Sequence[str]) -> dict[str, Details]:
        with connection.reading(self._uri) as client:
            return {session: _details(client, self._run_ids[session]) for session in sessions}


def _all_runs(client: MlflowClient) -> Iterator[MlflowRun]:
    """Yields every active run of every active experiment."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    token = None
    while True:
        page = client.search_runs(experiments, max_results=PAGE, order_by=["attributes.run_id"], page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _converted(run: MlflowRun) -> Run:
    return Run(
        run.info.run_id, run.info.start_time, run.info.end_time, run.data.params, run.data.metrics, run.data.tags
    )


def _add_manifest(run: MlflowRun, manifests: dict[str, Manifest], left_out: list[str]) -> None:
    try:
        manifests[run.info.run_id] = manifest_from_tags(run.data.tags, f"run {run.info.run_id}")
    except BadRecord as error:
        left_out.append(str(error))


def _details(client: MlflowClient, run_id: str) -> Details:
    series = client.get_metric_history(run_id, SERIES_NAME)
    numbers = (point for point in series if not math.isnan(point.value))
    steps = tuple(point.value for point in sorted(numbers, key=lambda point: point.step))
    return Details(client.get_run(run_id).data.params, steps)
