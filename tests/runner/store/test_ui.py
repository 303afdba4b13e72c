"""The port of MLflow's UI, tried before its address is printed."""

from __future__ import annotations

import socket

import pytest

from runner import store
from runner.errors import BadValue


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
