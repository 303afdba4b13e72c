"""The experiment that the runs are in: found, or made and described."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runner.store import address
from runner.store.view import NOTE_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

MLFLOWS_OWN = "0"
"""Id of the experiment where a plain `mlflow run .` puts its run."""

DESCRIPTION = """\
## Batch-1 decode latency against its memory floor

One run is one **session**: one cell (gpu, model, ctx, quant, kernel, runtime, cache) measured in one fresh process.

**To compare cells**

- *Table view*, **Columns**: metrics `latency/step_wall_ms`, `floor/r_floor`, `floor/r_floor_achievable`; tags `gpu`,
  `model`, `ctx`, `quant`, `runtime`, `cache`, `valid`, `flags`. **Group by** the tag `cell_key`: the sessions of one
  cell become one row with their mean.
- *Chart view*: one section per group of metrics. `floor/` how close to the floor, `latency/` the clocks and (as a
  line) every timed step, `gpu/` temperature, power and clocks before and after, `gate/` whether the answer is right,
  `cost/` where the session's time went.
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
        return str(client.create_experiment(name, tags={NOTE_TAG: DESCRIPTION}))
    if name == address.DEFAULT_EXPERIMENT and NOTE_TAG not in found.tags:
        client.set_experiment_tag(found.experiment_id, NOTE_TAG, DESCRIPTION)
    return str(found.experiment_id)


def places(home: str) -> list[str]:
    """Ids of the experiments where our runs may be: the one written to, and MLflow's own."""
    return list(dict.fromkeys((home, MLFLOWS_OWN)))
