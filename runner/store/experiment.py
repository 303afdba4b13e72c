"""Experiment of the runs: finds it, or creates and describes it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from runner.store import address, artifacts, creation
from runner.store.look.seen import DEFAULT_ID, RESTORE
from runner.store.saved_views import CELLS, TAG_PREFIX, view_tags
from runner.store.session_run import NOTE_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

KIND_TAG, MODEL_TRAINING = "mlflow.experimentKind", "custom_model_development"
MARK = f"{TAG_PREFIX}{CELLS}"
"""Tag of every experiment that has received a run of this program: one of its views."""

DESCRIPTION = """\
## Batch-1 decode latency against its memory floor

One run is one **session**: one cell (gpu, model, ctx, quant, kernel, runtime, cache) measured in one fresh process.

The menu *Views* (top right) has:

- *Sessions*: every valid session with its cell, step time and fraction of the floor, the newest first.
- *Cells*: the same sessions grouped by the tag `group`. A row has the **mean of its sessions**; the tables of
  `python -m analysis` use **medians**. Sessions of a group have the same cell, protocol, code and environment.
- *A/B*: ratio, interval and verdict of every comparison.
- *Failed*: requests without a result and sessions that are not valid, with their reasons.

Charts open with step time and `r_floor`. Below, each section has the metrics of one group. `latency`: step times, and
every timed step as a line. `floor`: fractions of the floor. `gpu`: temperature, power and clocks before and after.
`gate`: correctness of the outputs. `cost`: time of each phase.

Searches: `tags.valid = "true"` or ``tags.model = "qwen2.5-7b" AND metrics.`cell/ctx` = 2048``

**FINISHED** is measured and valid. **FAILED** is not valid or not measured: the tags `reason`, `reasons`, `message`
and `exit_code` say why. **KILLED** was interrupted. **flags** mark a correct but suspect session. The artifact
`record.json` is the complete result, which the run displays.
"""


@dataclass(frozen=True)
class Deleted:
    """Deleted experiment, hidden until it is restored."""

    id: str
    name: str

    def __str__(self) -> str:
        return f"the experiment {self.name} (id {self.id}) is deleted: {RESTORE.format(self.id)}"


class Experiments:
    """Experiments of an open store. Each fact is read once: an instance is used while the store's lock is held."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client
        self._made: str | None = None
        self._described: set[str] = set()

    @cached_property
    def home(self) -> str:
        """Returns the id of the experiment for new runs. Creates the experiment if it does not exist."""
        if self._existing is None:
            self._made = creation.experiment(self._client, address.experiment_name())
        experiment_id = self._existing or self._made
        assert experiment_id is not None
        if experiment_id not in self._with_views:  # their places were corrected when the store was opened
            artifacts.correct_experiment(self._client, experiment_id)
        return experiment_id

    def candidate_ids(self) -> list[str]:
        """Returns the ids of the experiments that may have this program's runs: that for new runs, and MLflow's
        default.

        If the environment names no experiment, also returns every experiment with views, since ours may be renamed.
        """
        with_views = () if address.is_experiment_chosen() else self._with_views
        return list(dict.fromkeys(filter(None, (self._existing or self._made, DEFAULT_ID, *with_views))))

    def describe(self, experiment_id: str) -> None:
        """Describes an experiment as `describe` does, once."""
        if experiment_id not in self._described:
            describe(self._client, experiment_id)
            self._described.add(experiment_id)

    @cached_property
    def _existing(self) -> str | None:
        requested = os.environ.get("MLFLOW_EXPERIMENT_ID")
        if requested:
            return requested
        experiment = self._client.get_experiment_by_name(address.experiment_name())
        return None if experiment is None else str(experiment.experiment_id)

    @cached_property
    def _with_views(self) -> tuple[str, ...]:
        return tuple(str(each.experiment_id) for each in with_views(self._client))


def describe(client: MlflowClient, experiment_id: str) -> None:
    """Sets the current views of an experiment, and its description unless it has one.

    Applies to MLflow's default experiment, too: a plain `mlflow run .` puts its run there.
    """
    existing = client.get_experiment(experiment_id).tags
    for name, value in _tags().items():
        is_ours = name.startswith(TAG_PREFIX)
        if name not in existing or (is_ours and existing[name] != value):
            client.set_experiment_tag(experiment_id, name, value)


def with_views(client: MlflowClient) -> list[Experiment]:
    """Returns the experiments that have this program's views."""
    return [experiment for experiment in client.search_experiments() if MARK in experiment.tags]


def deleted(client: MlflowClient) -> list[Deleted]:
    """Returns the deleted experiments that have this program's views."""
    from mlflow.entities import ViewType

    experiments = client.search_experiments(view_type=ViewType.DELETED_ONLY)
    return [Deleted(str(each.experiment_id), each.name) for each in experiments if MARK in each.tags]


def _tags() -> dict[str, str]:
    return {NOTE_TAG: DESCRIPTION, KIND_TAG: MODEL_TRAINING, **view_tags()}
