"""Results of the analysis in a run of their own, of an A/B or a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.store.commit import log_files
from runner.store.session_run import NOTE_TAG, TAG_LENGTH

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FINISHED = "FINISHED"


@dataclass(frozen=True)
class Summary:
    """Metrics, tags, the text of the run's page, and `files` (artifact path → content)."""

    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    note: str
    files: Mapping[str, str | bytes]


def log_summary(client: MlflowClient, run: Run, step: int, at_ms: int, summary: Summary) -> None:
    """Logs the summary to the run, with its metrics at `step` and `at_ms` (ms since the epoch)."""
    from mlflow.entities import Metric, RunTag

    metrics = [Metric(name, value, at_ms, step) for name, value in summary.metrics.items()]
    tags = entities(RunTag, {**summary.tags, NOTE_TAG: summary.note})
    client.log_batch(run.info.run_id, metrics, (), tags, synchronous=True)
    log_files(client, run.info.run_id, summary.files)


def entities(kind: Callable[[str, str], Any], values: Mapping[str, str]) -> list[Any]:
    """Returns MLflow's params or tags, with values truncated to TAG_LENGTH."""
    return [kind(name, value[:TAG_LENGTH]) for name, value in values.items()]
