"""Name and page of a run that `mlflow run` made for a request without a result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from runner import errors
from runner.cell.vocabulary import AUTO
from runner.plan.request import NONE
from runner.redaction.redact import redact
from runner.store.commit import log_tags
from runner.store.made_run import name_run
from runner.store.session_run import NAME_TAG, NOTE_TAG, TAG_LENGTH

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

REASON_TAG = "reason"
"""Tag of every run that this program has closed without a result."""
FIELDS = ("gpu", "runtime", "quant", "ctx", "model", "kernel", "attention", "cache", "dtype")
"""Parameters in the run's name, in the order of a session's name."""
NAME_LENGTH = 200
IN_WORDS = {
    errors.GpuNotFound.reason: "no such GPU here",
    errors.GpuAmbiguous.reason: "several such GPUs here",
    errors.BadPair.reason: "fields do not go together",
    errors.Infeasible.reason: "does not fit into memory",
    errors.OutOfMemory.reason: "out of memory",
    errors.Usage.reason: "command line not understood",
}
"""Reasons whose names are not plain words already."""


def describe_failure(client: MlflowClient, run: Run, tags: Mapping[str, str]) -> None:
    """Logs the tags, which have the reason and the message, and names and describes the run after them.

    A name that a user has chosen stays.
    """
    name = f"{_requested(run)}: {_in_words(tags[REASON_TAG])}"[:NAME_LENGTH]
    log_tags(client, run.info.run_id, {**tags, NAME_TAG: name, NOTE_TAG: _page(run, tags)[:TAG_LENGTH]})
    name_run(client, run, name)


def _in_words(reason: str) -> str:
    return IN_WORDS.get(reason, reason.replace("-", " "))


def _requested(run: Run) -> str:
    """Returns the requested values in a few words, or the name of the entry point if every value is a default."""
    table = run.data.params.get("table", "")
    words = [word for word in (_arms(run.data.params), table, *dict(_chosen(run)).values()) if word]
    entry = run.data.tags.get("mlflow.project.entryPoint", "request").replace("main", "cell")
    return redact(" ".join(words or [entry]))


def _arms(params: Mapping[str, str]) -> str:
    """Returns the values that an A/B compares, empty without any. Values of weights may be private paths."""
    field = params.get("field", NONE)
    if field in (NONE, "weights"):
        return "" if field == NONE else field
    return f"{params.get('a', AUTO)}/{params.get('b', AUTO)}"


def _chosen(run: Run) -> Iterator[tuple[str, str]]:
    """Yields name and value of each field of the cell that the request names."""
    for name in FIELDS:
        if (value := run.data.params.get(name, AUTO)) not in (AUTO, NONE):
            yield name, value


def _page(run: Run, tags: Mapping[str, str]) -> str:
    """Returns the run's description. MLflow shows its first three lines and hides the others."""
    fields = " · ".join(f"{name} `{redact(value)}`" for name, value in _chosen(run))
    code = f"exit code {tags['exit_code']}, " if "exit_code" in tags else ""
    parts = (
        f"**No result: {_in_words(tags[REASON_TAG])}**",
        tags["message"],
        f"requested: {fields}" if fields else "",
        f"{code}reason `{tags[REASON_TAG]}` (docs/exit-codes.md)",
    )
    return "\n\n".join(part for part in parts if part) + "\n"
