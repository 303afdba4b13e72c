"""Run that MLflow made for a command: finds it, names it, removes the checkout's path from its tags, and says where it
is."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from runner import terminal
from runner.redaction.redact import redact
from runner.store import address
from runner.store.look.seen import DEFAULT_ID
from runner.store.session_run import NAME_TAG, PROJECT, SOURCE_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SOURCE_TAGS = (SOURCE_TAG, "mlflow.source.git.repoURL", "mlflow.gitRepoURL")
PATH_PREFIXES = ("/", ".", "~", "file:")
_GENERATED_NAME = re.compile(r"[a-z]+-([a-z]+)-\d{1,4}")


def mlflow_run(client: MlflowClient, run_id: str) -> Run | None:
    """Returns the run of `mlflow run` and removes the checkout's path from its tags; None if the store has none.

    Prints a note if the run is in MLflow's default experiment.
    """
    if (run := find_run(client, run_id)) is not None:
        _hide_source(client, run)
        if run.info.experiment_id == DEFAULT_ID:
            _note_default_experiment()
    return run


@cache
def _note_default_experiment() -> None:
    """Says once how to have the run beside those of other commands. MLflow chooses the experiment before it starts
    this program, and no run can be moved."""
    ours = address.DEFAULT_EXPERIMENT
    terminal.say(
        f"note: this run is in MLflow's experiment Default, and those of `make cell` are in {ours}: add "
        f"--experiment-name {ours} to `mlflow run`, or export MLFLOW_EXPERIMENT_NAME={ours}"
    )


def find_run(client: MlflowClient, run_id: str) -> Run | None:
    """Returns the run with this id, None if this store has none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _hide_source(client: MlflowClient, run: Run) -> None:
    """Replaces the checkout's private folder by the project's name, and removes credentials from an address."""
    for name in SOURCE_TAGS:
        value = run.data.tags.get(name, "")
        public = PROJECT if value.startswith(PATH_PREFIXES) else redact(value)
        if public != value:
            client.set_tag(run.info.run_id, name, public)


def name_run(client: MlflowClient, run: Run, name: str) -> None:
    """Renames the run, unless a user has chosen its name. MLflow or this program has generated any other name."""
    current = run.info.run_name
    if current != name and (is_generated(current) or current == run.data.tags.get(NAME_TAG)):
        client.update_run(run.info.run_id, name=name)


def is_generated(name: str | None) -> bool:
    """Returns whether MLflow generated the name, such as `bold-crane-417`: a word, an animal of its list, a number.

    Returns True without a name.
    """
    from mlflow.utils import name_utils

    match = _GENERATED_NAME.fullmatch(name or "")
    return not name or (match is not None and match[1] in map(str.lower, name_utils._GENERATOR_NOUNS))
