"""The run of a request without a result: it says what was requested, and why there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from mlflow import MlflowClient

from runner import store
from runner.errors import BadPair, DecodeFloorError, GpuNotFound, StoreUnreachable, Terminated
from runner.store import EntryRun, saved_views
from tests.runner.store import contents
from tests.support.derive import typed
from tests.support.records import example_record

DEFAULTS = {"gpu": "auto", "model": "auto", "ctx": "auto", "quant": "auto", "weights": "synthetic", "options": "none"}
FAILURES_TAG = f"{saved_views.TAG_PREFIX}{saved_views.FAILURES}"
ENTRY_TAG = "mlflow.project.entryPoint"
NO_L4 = GpuNotFound("this machine has no L4: found no GPU; choose gpu=auto or gpu=cpu")


def _made_run(uri: str, entry: str = "main", **params: str) -> str:
    """Returns the id of a run as `mlflow run` makes it, with every parameter of the entry point."""
    client = MlflowClient(uri)
    run = client.create_run("0", tags={ENTRY_TAG: entry})
    for name, value in {**DEFAULTS, **params}.items():
        client.log_param(run.info.run_id, name, value)
    return str(run.info.run_id)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("entry", "params", "error", "name"),
    [
        ("main", {"gpu": "l4", "model": "qwen2.5-7b"}, NO_L4, "l4 qwen2.5-7b: no such GPU here"),
        ("cell", {"gpu": "l4", "quant": "gptq", "runtime": "graph"}, NO_L4, "l4 graph gptq: no such GPU here"),
        ("main", {}, NO_L4, "cell: no such GPU here"),
        (
            "ab",
            {"gpu": "l4", "field": "runtime", "a": "eager", "b": "graph"},
            NO_L4,
            "eager/graph l4: no such GPU here",
        ),
        ("ab", {"gpu": "l4", "field": "weights", "a": "/mnt/mine", "b": "hub"}, NO_L4, "weights l4: no such GPU here"),
        ("ab", {"gpu": "l4", "field": "none"}, BadPair("x"), "l4: fields do not go together"),
        ("tables", {"table": "floor"}, StoreUnreachable("x"), "floor: store unreachable"),
        ("cell", {"gpu": "l4"}, Terminated("stopped by SIGTERM"), "l4: terminated"),
    ],
)
def test_its_name_is_what_was_requested_and_the_reason(
    sqlite_uri: str, entry: str, params: Mapping[str, str], error: DecodeFloorError, name: str
) -> None:
    run_id = _made_run(sqlite_uri, entry, **params)
    EntryRun(run_id).fail(error)
    assert MlflowClient(sqlite_uri).get_run(run_id).info.run_name == name


@pytest.mark.medium
def test_its_page_has_the_message_first_and_what_was_requested(sqlite_uri: str) -> None:
    run_id = _made_run(sqlite_uri, gpu="l4", quant="gptq")
    EntryRun(run_id).fail(NO_L4)
    assert MlflowClient(sqlite_uri).get_run(run_id).data.tags["mlflow.note.content"] == (
        "**No result: no such GPU here**\n\n"
        "this machine has no L4: found no GPU; choose gpu=auto or gpu=cpu\n\n"
        "requested: gpu `l4` · quant `gptq`\n\n"
        "exit code 14, reason `gpu-not-found` (docs/exit-codes.md)\n"
    )


@pytest.mark.medium
def test_its_experiment_has_the_view_that_lists_it(sqlite_uri: str) -> None:
    run_id = _made_run(sqlite_uri, gpu="l4")
    EntryRun(run_id).fail(NO_L4)
    (address,) = store.view_addresses("http://127.0.0.1:5000")
    assert address[0] == "Default"
    view = json.loads(json.loads(MlflowClient(sqlite_uri).get_experiment("0").tags[FAILURES_TAG])["state"])
    found = MlflowClient(sqlite_uri).search_runs(["0"], view["searchFilter"])
    assert [run.info.run_id for run in found] == [run_id]


@pytest.mark.medium
def test_a_name_that_a_user_has_chosen_stays(sqlite_uri: str) -> None:
    run_id = _made_run(sqlite_uri, gpu="l4")
    MlflowClient(sqlite_uri).update_run(run_id, name="mine")
    EntryRun(run_id).fail(NO_L4)
    assert MlflowClient(sqlite_uri).get_run(run_id).info.run_name == "mine"


@pytest.mark.medium
def test_a_session_that_is_imported_into_it_later_replaces_its_name_and_page(sqlite_uri: str) -> None:
    run_id = _made_run(sqlite_uri, gpu="h200")
    EntryRun(run_id).fail(Terminated("stopped by SIGTERM"))
    found = typed(example_record())
    assert store.commit(found, run_id) == run_id
    (run,) = contents.runs(sqlite_uri)
    assert run.info.run_name == "h200 eager bf16 2048 qwen2.5-7b static #0"
    assert (run.info.status, run.data.tags["reason"]) == ("FINISHED", "")
    assert "No result" not in run.data.tags["mlflow.note.content"]


@pytest.mark.medium
def test_secrets_and_hosts_in_a_parameter_are_not_repeated(sqlite_uri: str) -> None:
    run_id = _made_run(sqlite_uri, gpu="GPU-5fd3c1f2-1111-2222-3333-444455556666")
    EntryRun(run_id).fail(NO_L4)
    run = MlflowClient(sqlite_uri).get_run(run_id)
    assert "5fd3c1f2" not in run.info.run_name + run.data.tags["mlflow.note.content"]
