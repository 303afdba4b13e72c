"""Run of an A/B: its manifest and its analysis. Each session has a run of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from runner.ab.manifest import Manifest
from runner.cell.cell import short_hash
from runner.cell.jsonform import to_json
from runner.record.spool import MANIFEST_NAME
from runner.store import connection, creation, experiment, owner
from runner.store.commit import closed_on_failure, log_files, terminate
from runner.store.made_run import mlflow_run, name_run
from runner.store.manifesttags import manifest_tags
from runner.store.session_run import NOTE_TAG
from runner.store.summary_run import FINISHED, Summary, entities, log_summary

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

AB_TAG = "ab"
NOT_COMPARED = (
    "**not compared yet**: `python -m analysis ab FOLDER --commit`, with the folder of the artifact `ab.json`, logs "
    "ratio, interval and verdict here\n"
)
"""Page of an A/B's run until the summary replaces it."""
MANIFEST_TAG, SUMMARY_TAG = "decode_floor.ab_manifest", "decode_floor.ab_summary"


def commit_comparison(
    manifest: Manifest, period_ms: tuple[int, int], summary: Summary | None, run_id: str | None
) -> str:
    """Finds or creates the A/B's run, fills and closes it, and returns its id. A repeated call changes nothing.

    `period_ms` has the start of the first and the end of the last session, in ms since the epoch. `run_id` is the run
    that MLflow made for the command, or None. Metrics are logged at the step `manifest.done`, so that an extended A/B
    has a series. Without a summary only the manifest is logged. Raises StoreUnreachable, DiskFull, MissingPackage.
    """
    began_ms, ended_ms = period_ms
    with connection.opened() as client:
        run = _run(client, manifest, run_id, began_ms)
        with closed_on_failure(client, run):
            if run.info.status != FINISHED:
                owner.claim(client, run)
            _fill(client, run, manifest, summary, ended_ms)
        if run.info.status != FINISHED:
            terminate(client, run.info.run_id, FINISHED, ended_ms)
        return str(run.info.run_id)


def _run(client: MlflowClient, manifest: Manifest, run_id: str | None, began_ms: int) -> Run:
    if run_id is not None and (run := mlflow_run(client, run_id)) is not None:
        return run
    experiments = experiment.Experiments(client)
    runs = client.search_runs(experiments.candidate_ids(), f"tags.{AB_TAG} = '{manifest.id}'")
    return runs[0] if runs else creation.run(client, experiments.home, {AB_TAG: manifest.id}, began_ms)


def _fill(client: MlflowClient, run: Run, manifest: Manifest, summary: Summary | None, at_ms: int) -> None:
    experiment.describe(client, run.info.experiment_id)
    _log_changed(client, run, MANIFEST_TAG, manifest_tags(manifest), lambda: _log_manifest(client, run, manifest))
    if summary is not None:
        files = {name: short_hash(str(content), 16) for name, content in summary.files.items()}
        content = [manifest.done, dict(summary.metrics), dict(summary.tags), summary.note, files]
        _log_changed(client, run, SUMMARY_TAG, content, lambda: log_summary(client, run, manifest.done, at_ms, summary))


def _log_changed(client: MlflowClient, run: Run, tag: str, content: Any, log: Callable[[], None]) -> None:
    """Logs content that the run does not have yet. Sets the tag with its hash last."""
    digest = short_hash(content, 16)
    if run.data.tags.get(tag) != digest:
        log()
        client.set_tag(run.info.run_id, tag, digest)


def _log_manifest(client: MlflowClient, run: Run, manifest: Manifest) -> None:
    from mlflow.entities import Param, RunTag

    a, b = manifest.arms["a"], manifest.arms["b"]
    shared = {name: _word(value) for name, value in to_json(a.cell).items() if getattr(b.cell, name) == value}
    params = {"ab.field": manifest.field, "ab.a": a.value, "ab.b": b.value}
    params |= {f"cell.{name}": value for name, value in shared.items()}
    tags = {AB_TAG: manifest.id, "study": manifest.study, "cell": manifest.title}
    tags |= {name: shared[name] for name in ("gpu", "model", "ctx") if name in shared} | manifest_tags(manifest)
    tags[NOTE_TAG] = NOT_COMPARED
    run_id = run.info.run_id
    name_run(client, run, manifest.title)
    client.log_batch(run_id, (), entities(Param, params), entities(RunTag, tags), synchronous=True)
    log_files(client, run_id, {MANIFEST_NAME: manifest.text})


def _word(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)
