"""Commit: one session's record becomes one MLflow run. Replaying changes nothing; the run is closed last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import BadRecord, StoreUnreachable
from runner.files import scratch
from runner.record.sessionrecord import SessionRecord
from runner.store import artifacts, connection, experiment
from runner.store.made_run import made_run, name_run
from runner.store.saved_views import GROUP_TAG
from runner.store.session_run import COMMITTED_TAG, SESSION_TAG, View, view

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

BATCH_ENTITIES = 1000  # MLflow's limit for metrics, params and tags together
OPEN = ("RUNNING", "SCHEDULED")
UNFINISHED = {
    "reason": StoreUnreachable.reason,
    "message": "the store did not take all of it; `python -m runner import` of the record does the rest",
    "valid": "false",
}


@dataclass(frozen=True)
class Committed:
    """`already` says that the store held this session before."""

    run_id: str
    already: bool


def commit(record: SessionRecord, run_id: str | None, spooled: Path | None = None) -> str:
    """Put one session's record into MLflow; returns the id of its run.

    `run_id` is the run that `mlflow run` made (MLFLOW_RUN_ID), None otherwise; `spooled` is the record's file,
    for the message when the store is away. Raises BadRecord where the store has other content for the session,
    StoreUnreachable, DiskFull, MissingPackage.
    """
    shown = view(record)
    with connection.opened(spooled) as client:
        return store_view(client, shown, run_id).run_id


def store_view(client: MlflowClient, shown: View, run_id: str | None) -> Committed:
    """Find or create the run and fill it. BadRecord where the store has other content for the session."""
    run = _session_run(client, shown.session) or _made_by_mlflow(client, run_id, shown.session)
    if run is None:
        home = experiment.home(client)
        run = client.create_run(home, shown.started_ms, {SESSION_TAG: shown.session}, shown.name)
    filled = COMMITTED_TAG in run.data.tags
    if filled:
        _check_same(run, shown)
        _add_group(client, run, shown)
    else:
        with closed_on_failure(client, run, UNFINISHED):
            experiment.describe(client, run.info.experiment_id)
            _fill(client, run, shown)
    if not filled or run.info.status != shown.status:  # killed in between, or closed by `mlflow run` as failed
        terminate(client, run.info.run_id, shown.status, shown.finished_ms)
    return Committed(run.info.run_id, already=filled)


def _check_same(run: Run, shown: View) -> None:
    if run.data.tags[COMMITTED_TAG] != shown.digest:
        raise BadRecord(
            f"session {shown.session} is already in the store (run {run.info.run_id}) with other content: "
            "a record never changes once it is committed; compare the two files"
        )


def _add_group(client: MlflowClient, run: Run, shown: View) -> None:
    """A run of before there were groups gets its own: without one the view leaves it out."""
    if GROUP_TAG not in run.data.tags:
        client.set_tag(run.info.run_id, GROUP_TAG, shown.tags[GROUP_TAG])


def _session_run(client: MlflowClient, session: str) -> Run | None:
    """The session's, a whole one before one that was only begun."""
    found = client.search_runs(experiment.places(client), f"tags.{SESSION_TAG} = '{session}'")
    return min(found, key=lambda run: COMMITTED_TAG not in run.data.tags, default=None)


def _made_by_mlflow(client: MlflowClient, run_id: str | None, session: str) -> Run | None:
    """The run `mlflow run` made; None where this store does not know it or another session took it."""
    run = None if run_id is None else made_run(client, run_id)
    if run is None or run.info.lifecycle_stage != "active":
        return None
    return run if run.data.tags.get(SESSION_TAG, session) == session else None


def _fill(client: MlflowClient, run: Run, shown: View) -> None:
    """All of the run, the mark last: a run without it is filled again, whoever closed it."""
    run_id = run.info.run_id
    name_run(client, run, shown.name)
    _log_numbers(client, run_id, shown)
    _log_dataset(client, run_id, shown)
    log_files(client, run_id, shown.files)
    client.set_tag(run_id, COMMITTED_TAG, shown.digest)


@contextmanager
def closed_on_failure(client: MlflowClient, run: Run, tags: Mapping[str, str] | None = None) -> Iterator[None]:
    """A run that cannot be filled is closed as FAILED, with these tags, as far as the store lets us: nobody works on it
    any more. It is filled, and closed anew, by the next that commits the same."""
    try:
        yield
    except BaseException:
        with suppress(Exception):
            if run.info.status in OPEN:
                log_tags(client, run.info.run_id, tags or {})
                terminate(client, run.info.run_id, "FAILED")
        raise


def log_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Set several tags in one call."""
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()], synchronous=True)


def terminate(client: MlflowClient, run_id: str, status: str, finished_ms: int | None = None) -> None:
    """Close a run; MLflow's lines about where to view it would land in the command's own output."""
    with redirect_stdout(StringIO()):
        client.set_terminated(run_id, status, finished_ms)


def _log_numbers(client: MlflowClient, run_id: str, shown: View) -> None:
    """One call, or more where the step series is longer than a call may be."""
    from mlflow.entities import Param, RunTag

    params = [Param(name, value) for name, value in shown.params.items()]
    tags = [RunTag(name, value) for name, value in shown.tags.items()]
    points = list(_points(shown))
    first = BATCH_ENTITIES - len(params) - len(tags)
    client.log_batch(run_id, points[:first], params, tags, synchronous=True)
    for start in range(first, len(points), BATCH_ENTITIES):
        client.log_batch(run_id, points[start : start + BATCH_ENTITIES], synchronous=True)


def _points(shown: View) -> Iterator[Metric]:
    from mlflow.entities import Metric

    for name, value in shown.metrics.items():
        yield Metric(name, value, shown.finished_ms, 0)
    for step, value in enumerate(shown.series):
        yield Metric(shown.series_name, value, shown.finished_ms, step)


def _log_dataset(client: MlflowClient, run_id: str, shown: View) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    model = shown.dataset
    dataset = Dataset(model.name, model.digest, source_type="weights", source=model.source)
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "model")])])


def log_files(client: MlflowClient, run_id: str, files: Mapping[str, str | bytes]) -> None:
    """Artifacts of a run, by their paths."""
    artifacts.settle_run(client, run_id)
    with scratch.folder() as folder:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        client.log_artifacts(run_id, str(folder))
