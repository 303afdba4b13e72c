"""The run of an A/B: its manifest, and what analysis makes of it. Sessions stay runs of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from runner.ab.manifest import Manifest
from runner.cell.cell import short_hash
from runner.cell.jsonform import to_json
from runner.record.spool import MANIFEST_NAME
from runner.store import connection, experiment
from runner.store.commit import closed_on_failure, log_files, terminate
from runner.store.made_run import made_run, name_run
from runner.store.manifesttags import tags_of
from runner.store.summary_run import FINISHED, Summary, entities, log_summary

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

AB_TAG = "ab"
MANIFEST_TAG, SUMMARY_TAG = "decode_floor.ab_manifest", "decode_floor.ab_summary"


def commit_comparison(
    manifest: Manifest, period_ms: tuple[int, int], summary: Summary | None, run_id: str | None
) -> str:
    """Find or make the A/B's run, fill it and close it; returns its id. The same again changes nothing.

    `period_ms` is when its first session began and its last one ended, the time of all its points; `run_id` the run
    that MLflow made for the command, None otherwise. Metrics go to the step of so many sessions: an extended A/B shows
    how it grew. Without a summary only the manifest is put there. Raises StoreUnreachable, DiskFull, MissingPackage.
    """
    began_ms, at_ms = period_ms
    with connection.opened() as client:
        run = _run(client, manifest, run_id, began_ms)
        with closed_on_failure(client, run):
            _fill(client, run, manifest, summary, at_ms)
        if run.info.status != FINISHED:
            terminate(client, run.info.run_id, FINISHED, at_ms)
        return str(run.info.run_id)


def _run(client: MlflowClient, manifest: Manifest, run_id: str | None, began_ms: int) -> Run:
    made = None if run_id is None else made_run(client, run_id)
    found = [made] if made else client.search_runs(experiment.places(client), f"tags.{AB_TAG} = '{manifest.id}'")
    return found[0] if found else client.create_run(experiment.home(client), began_ms, {AB_TAG: manifest.id})


def _fill(client: MlflowClient, run: Run, manifest: Manifest, summary: Summary | None, at_ms: int) -> None:
    experiment.describe(client, run.info.experiment_id)
    _once(client, run, MANIFEST_TAG, tags_of(manifest), lambda: _log_manifest(client, run, manifest))
    if summary is not None:
        files = {name: short_hash(str(content), 16) for name, content in summary.files.items()}
        content = [manifest.done, dict(summary.metrics), dict(summary.tags), summary.note, files]
        _once(client, run, SUMMARY_TAG, content, lambda: log_summary(client, run, manifest.done, at_ms, summary))


def _once(client: MlflowClient, run: Run, tag: str, content: Any, log: Callable[[], None]) -> None:
    """Log what the run has not got yet; the tag with its hash comes last."""
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
    tags |= {name: shared[name] for name in ("gpu", "model", "ctx") if name in shared} | tags_of(manifest)
    run_id = run.info.run_id
    name_run(client, run, manifest.title)
    client.log_batch(run_id, (), entities(Param, params), entities(RunTag, tags), synchronous=True)
    log_files(client, run_id, {MANIFEST_NAME: manifest.text})


def _word(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)
