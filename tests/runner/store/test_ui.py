"""The port of MLflow's UI, tried before its address is printed."""

from __future__ import annotations

import socket

import pytest
from mlflow import MlflowClient

from runner import store
from runner.errors import BadValue
from tests.support.derive import typed
from tests.support.records import example_record


def test_a_free_port_is_part_of_the_address() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = int(other.getsockname()[1])
    assert store.local_address(port) == f"http://127.0.0.1:{port}"


def test_a_port_that_another_program_listens_at_is_refused_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(BadValue) as caught:
            store.local_address(port)
    assert str(caught.value) == f"port {port} cannot be used (Address already in use): choose another with --port"


@pytest.mark.medium
def test_the_ui_tells_of_a_deleted_experiment(sqlite_uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    store.commit(typed(example_record()), None)
    MlflowClient(sqlite_uri).delete_experiment("1")
    assert store.view_addresses("http://127.0.0.1:5000") == []
    assert capsys.readouterr().err == (
        "note: the experiment decode-floor (id 1) is deleted: restore it with `mlflow experiments restore "
        "--experiment-id 1`\n"
    )
