"""A run's name: the user's own (`mlflow run --run-name`) stays; one that MLflow made up becomes ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_MADE_UP = re.compile(r"[a-z]+-([a-z]+)-\d{1,4}")


def give(client: MlflowClient, run: Run, name: str) -> None:
    """Call the run by our name, unless somebody gave it another than MLflow made up."""
    if run.info.run_name != name and is_made_up(run.info.run_name):
        client.update_run(run.info.run_id, name=name)


def is_made_up(name: str | None) -> bool:
    """Is it none, or one as MLflow makes them up: a word, an animal of its list and a number (`bold-crane-417`)?"""
    from mlflow.utils import name_utils

    found = _MADE_UP.fullmatch(name or "")
    return not name or (found is not None and found[1] in map(str.lower, name_utils._GENERATOR_NOUNS))
