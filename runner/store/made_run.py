"""Run that MLflow made for a command: finds it, names it, and removes the checkout's path from its tags."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.redaction.redact import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PROJECT = "decode-floor"
SOURCE_TAGS = ("mlflow.source.name", "mlflow.source.git.repoURL", "mlflow.gitRepoURL")
PATH_PREFIXES = ("/", ".", "~", "file:")
_GENERATED_NAME = re.compile(r"[a-z]+-([a-z]+)-\d{1,4}")


def mlflow_run(client: MlflowClient, run_id: str) -> Run | None:
    """Returns the run of `mlflow run` and removes the checkout's path from its tags; None if the store has none."""
    if (run := find_run(client, run_id)) is not None:
        _hide_source(client, run)
    return run


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
    """Renames the run, unless a user has chosen its name."""
    if run.info.run_name != name and is_generated(run.info.run_name):
        client.update_run(run.info.run_id, name=name)


def is_generated(name: str | None) -> bool:
    """Returns whether MLflow generated the name, such as `bold-crane-417`: a word, an animal of its list, a number.

    Returns True without a name.
    """
    from mlflow.utils import name_utils

    match = _GENERATED_NAME.fullmatch(name or "")
    return not name or (match is not None and match[1] in map(str.lower, name_utils._GENERATOR_NOUNS))
