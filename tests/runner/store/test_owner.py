"""Owner of a run: the tag that names it, and what a new owner removes."""

from __future__ import annotations

import json

import pytest
from mlflow import MlflowClient

from runner.processes import proc
from runner.store import owner
from runner.store.session_run import OWNER_TAG


def test_a_tag_names_this_process() -> None:
    assert owner.owner_of(owner.tag()) == proc.this_process()
    assert proc.state(proc.this_process()) == proc.LIVES


@pytest.mark.parametrize("text", ["", "{}", "[1]", "null", '{"pid": "1"}'])
def test_a_run_without_a_valid_tag_has_no_owner(text: str) -> None:
    assert owner.owner_of({OWNER_TAG: text}) is None
    assert owner.owner_of({}) is None


def test_no_name_of_the_host_is_published() -> None:
    import socket

    assert socket.gethostname() not in json.dumps(owner.tag())


@pytest.mark.medium
def test_a_new_owner_removes_the_note_that_the_run_is_abandoned(sqlite_uri: str) -> None:
    client = MlflowClient(sqlite_uri)
    noted = {"reason": "abandoned", "message": "killed", "valid": "false", "kept": "yes", OWNER_TAG: "{}"}
    run_id = client.create_run("0", tags=noted).info.run_id
    owner.claim(client, client.get_run(run_id))
    tags = client.get_run(run_id).data.tags
    assert owner.owner_of(tags) == proc.this_process()
    assert {"reason", "message", "valid"} & tags.keys() == set()
    assert tags["kept"] == "yes"


@pytest.mark.medium
def test_the_reason_of_a_failure_stays(sqlite_uri: str) -> None:
    client = MlflowClient(sqlite_uri)
    run_id = client.create_run("0", tags={"reason": "oom", "message": "out of memory"}).info.run_id
    owner.claim(client, client.get_run(run_id))
    assert client.get_run(run_id).data.tags["message"] == "out of memory"
