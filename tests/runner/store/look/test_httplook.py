"""Requests to a server: whatever answers, the look ends soon, in one line, and sends MLflow's own credentials."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from runner import store
from runner.store.look import httplook
from tests.support.looks import answering, refusal


@pytest.mark.slow
def test_a_redirect_that_would_turn_a_post_into_a_get_is_told(http_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(302, Location=f"{http_uri}/login?token=abc") as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert f"it redirects to {http_uri}: set MLFLOW_TRACKING_URI" in refusal()


@pytest.mark.medium
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["nothing", "half"])
def test_a_server_that_never_ends_its_answer_is_given_up_soon(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httplook, "TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kept = []

        def accept() -> None:
            kept.append(silent.accept()[0])
            kept[0].sendall(said)

        threading.Thread(target=accept, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert "does not answer" in (store.before_measuring(None) or "")
        assert time.monotonic() - began < 5


def test_a_port_that_speaks_no_http_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            with other.accept()[0] as link:
                link.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                link.recv(4096)

        threading.Thread(target=greet, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{other.getsockname()[1]}")
        assert "is not an MLflow server (its response is not HTTP)" in refusal()


@pytest.mark.slow
def test_a_server_without_tls_is_told(http_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", http_uri.replace("http:", "https:"))
    assert "has no TLS" in refusal()


def test_credentials_are_those_that_mlflow_sends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from mlflow.utils.credentials import read_mlflow_creds

    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").write_text(
        "[mlflow]\nmlflow_tracking_username = me\nmlflow_tracking_password = kept\n"
    )
    assert tuple(read_mlflow_creds()) == ("me", "kept")
    assert httplook._login() == {"Authorization": "Basic bWU6a2VwdA=="}
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "other")
    assert httplook._login() == {"Authorization": "Basic bWU6b3RoZXI="}
