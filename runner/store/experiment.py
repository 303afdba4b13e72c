"""The experiment that the runs are in: found, or made and described."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.store import address, artifacts
from runner.store.look.seen import RESTORE
from runner.store.saved_views import CELLS, TAG_PREFIX, view_tags
from runner.store.session_run import NOTE_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

KIND_TAG, MODEL_TRAINING = "mlflow.experimentKind", "custom_model_development"
MLFLOWS_OWN = "0"
"""Id of the experiment where a plain `mlflow run .` puts its run."""

MARK = f"{TAG_PREFIX}{CELLS}"
"""Tag of each experiment that a run of ours was committed to: one of our views."""

DESCRIPTION = """\
## Batch-1 decode latency against its memory floor

One run is one **session**: one cell (gpu, model, ctx, quant, kernel, runtime, cache) measured in one fresh process.

**To compare cells** choose *Cells* from the menu *Views* (top right): valid sessions, grouped by the tag `group`, each
row the mean of its sessions. A group has one cell, protocol, code and environment: what may be averaged.
*Sessions* shows every session by itself, *A/B* the ratio and verdict of every comparison.

- *Chart view*: one section per group of metrics. `floor` how close to the floor, `latency` the clocks and (as a line)
  every timed step, `gpu` temperature, power and clocks before and after, `gate` whether the answer is right, `cost`
  where the session's time went.
- *Search*: `tags.valid = "true"` or ``tags.model = "qwen2.5-7b" AND metrics.`cell/ctx` = 2048``

**FINISHED** is measured and valid. **FAILED** is not valid or not measured: the tags `reason`, `reasons`, `message`
and `exit_code` say why. **KILLED** was interrupted. **flags** mark a right but suspect session. The artifact
`record.json` is the whole result; the run only shows it.
"""


@dataclass(frozen=True)
class Deleted:
    """An experiment that nobody sees until it is restored."""

    id: str
    name: str

    def __str__(self) -> str:
        return f"the experiment {self.name} (id {self.id}) is deleted: {RESTORE.format(self.id)}"


def home(client: MlflowClient) -> str:
    """Id of the experiment for runs that MLflow has not put anywhere yet; made where it does not exist."""
    found = _home(client) or str(client.create_experiment(address.experiment_name()))
    return artifacts.settled(client, found)


def _home(client: MlflowClient) -> str | None:
    given = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if given:
        return given
    found = client.get_experiment_by_name(address.experiment_name())
    return None if found is None else str(found.experiment_id)


def places(client: MlflowClient) -> list[str]:
    """Ids of the experiments where our runs may be: the one written to, and MLflow's own. Where nobody chose one, all
    that have our views, for ours may have been renamed."""
    ours = () if address.is_experiment_chosen() else (str(found.experiment_id) for found in with_views(client))
    return list(dict.fromkeys(filter(None, (_home(client), MLFLOWS_OWN, *ours))))


def describe(client: MlflowClient, experiment_id: str) -> None:
    """Give the experiment of one of our runs its description, unless someone wrote one, and our views as they are now.

    Also in MLflow's own experiment, where a plain `mlflow run .` puts its run and no MLproject can say otherwise.
    """
    has = client.get_experiment(experiment_id).tags
    for name, value in _tags().items():
        is_ours = name.startswith(TAG_PREFIX)
        if name not in has or (is_ours and has[name] != value):
            client.set_experiment_tag(experiment_id, name, value)


def with_views(client: MlflowClient) -> list[Experiment]:
    """The experiments that have our views."""
    return [found for found in client.search_experiments() if MARK in found.tags]


def deleted(client: MlflowClient) -> list[Deleted]:
    """The experiments that have our views, and were deleted."""
    from mlflow.entities import ViewType

    found = client.search_experiments(view_type=ViewType.DELETED_ONLY)
    return [Deleted(str(each.experiment_id), each.name) for each in found if MARK in each.tags]


def _tags() -> dict[str, str]:
    return {NOTE_TAG: DESCRIPTION, KIND_TAG: MODEL_TRAINING, **view_tags()}
