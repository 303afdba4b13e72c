"""Replaces the tag with which `mlflow run` names the folder of the checkout: that path is private."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.redaction.redact import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PROJECT = "decode-floor"
TAGS = ("mlflow.source.name", "mlflow.source.git.repoURL", "mlflow.gitRepoURL")
A_PATH_BEGINS = ("/", ".", "~", "file:")


def hide(client: MlflowClient, run: Run) -> None:
    """Put the project's name in place of a folder in these tags, and take credentials out of an address."""
    for name in TAGS:
        value = run.data.tags.get(name, "")
        shown = PROJECT if value.startswith(A_PATH_BEGINS) else redact(value)
        if shown != value:
            client.set_tag(run.info.run_id, name, shown)
