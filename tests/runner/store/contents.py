"""Everything a store holds of ours, in a form that can be compared with `==`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run


def runs(uri: str) -> list[Run]:
    """All runs of the store, of every experiment, oldest first."""
    client = MlflowClient(tracking_uri=uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, order_by=["attributes.start_time ASC"]))


def session_run(uri: str, session: str) -> Run:
    """The one run of a session; fails where there is none or a second one."""
    (found,) = [run for run in runs(uri) if run.data.tags.get("session") == session]
    return found


def artifacts(client: MlflowClient, run_id: str, folder: str | None = None) -> list[str]:
    """Paths of all files of a run, sorted."""
    found = []
    for entry in client.list_artifacts(run_id, folder):
        found += artifacts(client, run_id, entry.path) if entry.is_dir else [entry.path]
    return sorted(found)


def artifact_text(uri: str, run_id: str, path: str, folder: Path) -> str:
    """The text of one artifact, downloaded into `folder`."""
    client = MlflowClient(tracking_uri=uri)
    return Path(client.download_artifacts(run_id, path, str(folder))).read_text(encoding="utf-8")


def everything(uri: str, run_id: str) -> dict[str, Any]:
    """Status, times, params, tags, every metric row, inputs and files of one run."""
    client = MlflowClient(tracking_uri=uri)
    run = client.get_run(run_id)
    assert run.inputs is not None
    return {
        "info": (run.info.run_name, run.info.status, run.info.start_time, run.info.end_time),
        "params": run.data.params,
        "tags": run.data.tags,
        "rows": {name: _rows(client, run_id, name) for name in run.data.metrics},
        "inputs": [(each.dataset.name, each.dataset.digest) for each in run.inputs.dataset_inputs],
        "files": artifacts(client, run_id),
    }


def _rows(client: MlflowClient, run_id: str, name: str) -> list[tuple[int, int, float]]:
    return sorted((row.step, row.timestamp, row.value) for row in client.get_metric_history(run_id, name))
