"""The run that MLflow made for a command: found by its id, given our name, and without the folder of the checkout."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.redaction.redact import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PROJECT = "decode-floor"
SOURCE_TAGS = ("mlflow.source.name", "mlflow.source.git.repoURL", "mlflow.gitRepoURL")
A_PATH_BEGINS = ("/", ".", "~", "file:")
_MADE_UP = re.compile(r"[a-z]+-([a-z]+)-\d{1,4}")


def made_run(client: MlflowClient, run_id: str) -> Run | None:
    """Returns the run that `mlflow run` made, with nothing in its tags of where the checkout lies."""
    if (run := known_run(client, run_id)) is not None:
        _hide_source(client, run)
    return run


def known_run(client: MlflowClient, run_id: str) -> Run | None:
    """Returns the run of that id, None where this store has none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _hide_source(client: MlflowClient, run: Run) -> None:
    """Puts the project's name in place of the checkout's folder, which is private, and takes credentials out of an
    address."""
    for name in SOURCE_TAGS:
        value = run.data.tags.get(name, "")
        shown = PROJECT if value.startswith(A_PATH_BEGINS) else redact(value)
        if shown != value:
            client.set_tag(run.info.run_id, name, shown)


def name_run(client: MlflowClient, run: Run, name: str) -> None:
    """Gives the run our name, unless somebody gave it another than MLflow made up."""
    if run.info.run_name != name and is_made_up(run.info.run_name):
        client.update_run(run.info.run_id, name=name)


def is_made_up(name: str | None) -> bool:
    """True for no name, and for one as MLflow makes them up: a word, an animal of its list and a number, such as
    `bold-crane-417`."""
    from mlflow.utils import name_utils

    match = _MADE_UP.fullmatch(name or "")
    return not name or (match is not None and match[1] in map(str.lower, name_utils._GENERATOR_NOUNS))
