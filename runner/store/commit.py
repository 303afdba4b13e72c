"""Commits a session's record as one MLflow run. A repeated commit changes nothing. The run is closed last."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import BadRecord, StoreUnreachable
from runner.files import scratch
from runner.record.sessionrecord import SessionRecord
from runner.store import artifacts, connection, creation, owner
from runner.store.experiment import Experiments
from runner.store.look import holdings
from runner.store.made_run import mlflow_run, name_run
from runner.store.saved_views import GROUP_TAG, SHORT_TAGS
from runner.store.session_run import COMMITTED_TAG, SESSION_TAG, View, view

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

BATCH_ENTITIES = 1000  # MLflow's limit for metrics, params and tags together
OPEN = ("RUNNING", "SCHEDULED")
UNFINISHED = {
    "reason": StoreUnreachable.reason,
    "message": "the store failed before the run was complete: `python -m runner import` of the record completes it",
    "valid": "false",
}


@dataclass(frozen=True)
class Committed:
    """Run of a committed session. `was_present` says whether the store had it before."""

    run_id: str
    was_present: bool


@dataclass(frozen=True)
class Known:
    """Facts of a store that are read once under one holding of its lock, and shared by several commits.

    `runs` are the ids of the runs that name a session, in whatever experiment and state; None for a server, which
    MLflow searches for each session. A commit adds its own run.
    """

    experiments: Experiments
    runs: dict[str, list[str]] | None

    @classmethod
    def read(cls, client: MlflowClient, sessions: Collection[str]) -> Known:
        """Returns the facts for commits of these sessions."""
        return cls(Experiments(client), holdings.runs_of(client.tracking_uri, sessions))

    def with_runs_of(self, client: MlflowClient, session: str) -> Known:
        """Returns the facts with the present runs of one session."""
        return replace(self, runs=holdings.runs_of(client.tracking_uri, [session]))


def commit(record: SessionRecord, run_id: str | None, spooled: Path | None = None) -> str:
    """Writes a session's record into MLflow and returns the id of its run.

    `run_id` is the run that `mlflow run` made (MLFLOW_RUN_ID), or None. `spooled` is the record's file, for the
    message if the store does not answer. Raises BadRecord if the store has other content for the session,
    StoreUnreachable, DiskFull, MissingPackage.
    """
    session_view = view(record)
    with connection.opened(spooled) as client:
        return store_view(client, session_view, run_id).run_id


def store_view(client: MlflowClient, session_view: View, run_id: str | None, known: Known | None = None) -> Committed:
    """Fills the session's run and returns it.

    That is the run that the store already has, else the unused run `run_id` that `mlflow run` made, else a new one. A
    run that is complete is only compared. Raises BadRecord if the store has other content for the session.
    """
    known = known or Known.read(client, [session_view.session])
    run = _session_run(client, session_view.session, known)
    run = run or _unused_mlflow_run(client, run_id, session_view.session)
    if run is None:
        tags = {SESSION_TAG: session_view.session}
        run = creation.run(client, known.experiments.home, tags, session_view.started_ms, session_view.name)
    if known.runs is not None:
        known.runs[session_view.session] = [run.info.run_id]
    is_filled = COMMITTED_TAG in run.data.tags
    if is_filled:
        _check_same(run, session_view)
        _add_view_tags(client, run, session_view)
    else:
        with closed_on_failure(client, run, UNFINISHED):
            known.experiments.describe(run.info.experiment_id)
            _fill(client, run, session_view)
    # a process was killed after it filled the run, or `mlflow run` closed it as failed
    if not is_filled or run.info.status != session_view.status:
        terminate(client, run.info.run_id, session_view.status, session_view.finished_ms)
    return Committed(run.info.run_id, was_present=is_filled)


def _check_same(run: Run, session_view: View) -> None:
    if run.data.tags[COMMITTED_TAG] != session_view.digest:
        raise BadRecord(
            f"session {session_view.session} is already in the store (run {run.info.run_id}) with other content: "
            "a committed record must not change; compare the two files"
        )


def _add_view_tags(client: MlflowClient, run: Run, session_view: View) -> None:
    """Adds the tags that the saved views show to a run of an older version, which lacks them."""
    for name in (GROUP_TAG, *SHORT_TAGS):
        if name in session_view.tags and name not in run.data.tags:
            client.set_tag(run.info.run_id, name, session_view.tags[name])


def _session_run(client: MlflowClient, session: str, known: Known) -> Run | None:
    """Returns the session's run, a complete one rather than an incomplete one. Returns None without any."""
    runs = _found(client, session, known)
    return min(runs, key=lambda run: COMMITTED_TAG not in run.data.tags, default=None)


def _found(client: MlflowClient, session: str, known: Known) -> Sequence[Run]:
    """Returns the session's runs, the newest first, that are active in an experiment of this program."""
    if known.runs is None:
        return client.search_runs(known.experiments.candidate_ids(), f"tags.{SESSION_TAG} = '{session}'")
    runs = [client.get_run(run_id) for run_id in known.runs.get(session, ())]
    own = [run for run in runs if run.info.experiment_id in known.experiments.candidate_ids()]
    active = [run for run in own if run.info.lifecycle_stage == "active"]
    return sorted(active, key=lambda run: -run.info.start_time)


def _unused_mlflow_run(client: MlflowClient, run_id: str | None, session: str) -> Run | None:
    """Returns the run of `mlflow run`; None if this store does not have it or another session uses it."""
    run = None if run_id is None else mlflow_run(client, run_id)
    if run is None or run.info.lifecycle_stage != "active":
        return None
    return run if run.data.tags.get(SESSION_TAG, session) == session else None


def _fill(client: MlflowClient, run: Run, session_view: View) -> None:
    """Fills the run and sets COMMITTED_TAG last. A run without this tag is filled again, even if it is closed."""
    run_id = run.info.run_id
    name_run(client, run, session_view.name)
    _log_numbers(client, run_id, session_view)
    _log_dataset(client, run_id, session_view)
    log_files(client, run_id, session_view.files)
    client.set_tag(run_id, COMMITTED_TAG, session_view.digest)


@contextmanager
def closed_on_failure(client: MlflowClient, run: Run, tags: Mapping[str, str] | None = None) -> Iterator[None]:
    """Closes the run as FAILED with these tags if the block raises, provided that the store still answers.

    The next commit of the same session fills and closes the run again.
    """
    try:
        yield
    except BaseException:
        with suppress(Exception):
            if run.info.status in OPEN:
                log_tags(client, run.info.run_id, tags or {})
                terminate(client, run.info.run_id, "FAILED")
        raise


def log_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Sets several tags in one call."""
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()], synchronous=True)


def terminate(client: MlflowClient, run_id: str, status: str, finished_ms: int | None = None) -> None:
    """Closes a run. Suppresses the lines with its address that MLflow prints."""
    with redirect_stdout(StringIO()):
        client.set_terminated(run_id, status, finished_ms)


def _log_numbers(client: MlflowClient, run_id: str, session_view: View) -> None:
    """Logs params, tags and metrics, in several calls if the step series exceeds BATCH_ENTITIES."""
    from mlflow.entities import Param, RunTag

    params = [Param(name, value) for name, value in session_view.params.items()]
    tags = [RunTag(name, value) for name, value in {**session_view.tags, **owner.tag()}.items()]
    points = list(_points(session_view))
    first = BATCH_ENTITIES - len(params) - len(tags)
    client.log_batch(run_id, points[:first], params, tags, synchronous=True)
    for start in range(first, len(points), BATCH_ENTITIES):
        client.log_batch(run_id, points[start : start + BATCH_ENTITIES], synchronous=True)


def _points(session_view: View) -> Iterator[Metric]:
    from mlflow.entities import Metric

    for name, value in session_view.metrics.items():
        yield Metric(name, value, session_view.finished_ms, 0)
    for step, value in enumerate(session_view.series):
        yield Metric(session_view.series_name, value, session_view.finished_ms, step)


def _log_dataset(client: MlflowClient, run_id: str, session_view: View) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    model = session_view.dataset
    dataset = Dataset(model.name, model.digest, source_type="weights", source=model.source)
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "model")])])


def log_files(client: MlflowClient, run_id: str, files: Mapping[str, str | bytes]) -> None:
    """Writes artifacts of a run. `files` maps artifact paths to contents."""
    artifacts.correct_run(client, run_id)
    with scratch.folder() as folder:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        client.log_artifacts(run_id, str(folder))
