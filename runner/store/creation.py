"""Creates experiments and runs exactly once.

MLflow's client repeats a request whose answer is lost, because the server was restarted or took too long. The server
may have done what it was asked: a repeated creation of an experiment is refused, and one of a run makes a second run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runner.store import owner
from runner.store.session_run import OWNER_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

RETRIES_VARIABLE = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"


def experiment(client: MlflowClient, name: str) -> str:
    """Returns the id of a new experiment, or of the one that this request or another host has made meanwhile."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.create_experiment(name))
    except MlflowException as error:
        made = client.get_experiment_by_name(name) if error.error_code == "RESOURCE_ALREADY_EXISTS" else None
        if made is None:
            raise
        return str(made.experiment_id)


def run(
    client: MlflowClient,
    experiment_id: str,
    tags: Mapping[str, str],
    started_ms: int | None = None,
    name: str | None = None,
) -> Run:
    """Returns a new run of this process. Its tags distinguish it from every other run that the process has open."""
    from mlflow.exceptions import MlflowException

    tags = {**tags, **owner.tag()}
    with _without_repetition():
        try:
            return client.create_run(experiment_id, started_ms, tags, name)
        except MlflowException:
            pass
    if (made := _made(client, experiment_id, tags)) is not None:
        return made
    with _without_repetition():
        return client.create_run(experiment_id, started_ms, tags, name)


@contextmanager
def _without_repetition() -> Iterator[None]:
    """Keeps MLflow's client from repeating requests."""
    before = os.environ.get(RETRIES_VARIABLE)
    os.environ[RETRIES_VARIABLE] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[RETRIES_VARIABLE]
        else:
            os.environ[RETRIES_VARIABLE] = before


def _made(client: MlflowClient, experiment_id: str, tags: Mapping[str, str]) -> Run | None:
    """Returns the open run with these tags; None if there is none."""
    query = f"attributes.status = 'RUNNING' AND tags.`{OWNER_TAG}` = '{tags[OWNER_TAG]}'"
    runs = client.search_runs([experiment_id], query)
    return next((run for run in runs if tags.items() <= run.data.tags.items()), None)
