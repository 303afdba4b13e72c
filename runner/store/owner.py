"""Owner of a run: the process that will close it, named in a tag of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from runner.processes import proc
from runner.processes.proc import Process
from runner.store.session_run import OWNER_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

ABANDONED = "abandoned"
"""Reason of a run whose owner did not close it."""
OF_ABANDONED = ("reason", "message", "valid")
"""Tags of such a run that no other run needs."""


def tag() -> dict[str, str]:
    """Returns the tag that makes this process the owner of a run."""
    return {OWNER_TAG: proc.this_process().text}


def owner_of(tags: Mapping[str, str]) -> Process | None:
    """Returns the owner that the tags of a run name; None without one."""
    return proc.parsed(tags.get(OWNER_TAG, ""))


def claim(client: MlflowClient, run: Run) -> None:
    """Makes this process the owner of a run.

    Removes what an import has noted about an earlier owner: the run is not abandoned, or not any more.
    """
    for name, value in tag().items():
        client.set_tag(run.info.run_id, name, value)
    if run.data.tags.get("reason") == ABANDONED:
        for name in OF_ABANDONED:
            if name in run.data.tags:
                client.delete_tag(run.info.run_id, name)
