"""The experiment that the runs are in: found, or made and described."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runner.store import address
from runner.store.view import NOTE_TAG
from runner.store.views import view_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

KIND_TAG, MODEL_TRAINING = "mlflow.experimentKind", "custom_model_development"
MLFLOWS_OWN = "0"
"""Id of the experiment where a plain `mlflow run .` puts its run."""

DESCRIPTION = """\
## Batch-1 decode latency against its memory floor

One run is one **session**: one cell (gpu, model, ctx, quant, kernel, runtime, cache) measured in one fresh process.

**To compare cells** choose *Cells* from the menu *Views* (top right): valid sessions, grouped by the tag `cell`, each
row the mean of its sessions. *Sessions* shows every session by itself.

- *Chart view*: one section per group of metrics. `floor` how close to the floor, `latency` the clocks and (as a line)
  every timed step, `gpu` temperature, power and clocks before and after, `gate` whether the answer is right, `cost`
  where the session's time went.
- *Search*: `tags.valid = "true"` or ``tags.model = "qwen2.5-7b" AND metrics.`cell/ctx` = 2048``

**FINISHED** is measured and valid. **FAILED** is not valid or not measured: the tags `reason`, `reasons`, `message`
and `exit_code` say why. **KILLED** was interrupted. **flags** mark a right but suspect session. The artifact
`record.json` is the whole result; the run only shows it.
"""


def experiment_id(client: MlflowClient) -> str:
    """The experiment to write to; made, and described, where it does not exist."""
    given = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if given:
        return given
    name = address.experiment_name()
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, tags=_tags()))
    if name == address.DEFAULT_EXPERIMENT:
        _describe(client, found)
    return str(found.experiment_id)


def _tags() -> dict[str, str]:
    return {NOTE_TAG: DESCRIPTION, KIND_TAG: MODEL_TRAINING, **view_tags()}


def _describe(client: MlflowClient, found: Experiment) -> None:
    """Add what an experiment made by `mlflow run --experiment-name` lacks; what someone wrote there stays."""
    for name, value in _tags().items():
        if name not in found.tags:
            client.set_experiment_tag(found.experiment_id, name, value)


def places(home: str) -> list[str]:
    """Ids of the experiments where our runs may be: the one written to, and MLflow's own."""
    return list(dict.fromkeys((home, MLFLOWS_OWN)))
