"""A store behind an MLflow server: what answers, whom it lets in, and where its artifacts go."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from runner import store
from runner.errors import StoreUnreachable
from runner.store import connection
from runner.store.look import httplook, seen
from tests.support.looks import answering, refusal


@pytest.mark.medium
@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, "<html>a page</html>", "does not answer as an MLflow server does (200 OK)"),
        (200, "{}", "does not answer as an MLflow server does (200 OK)"),
        (200, "[1]", "does not answer as an MLflow server does (200 OK)"),
        (404, "<html>a page</html>", "does not answer as an MLflow server does (404 Not Found)"),
        (401, "You are not authenticated", "refused the login (401"),
        (403, '{"error_code": "PERMISSION_DENIED", "message": "no"}', "refused the login (403 no)"),
        (403, "Forbidden", "does not answer as an MLflow server does (403 Forbidden)"),
        (500, '{"error_code": "INTERNAL_ERROR", "message": "no database"}', "fails (500 no database)"),
        (500, "<html>broken</html>", "does not answer as an MLflow server does (500 Internal Server Error)"),
        (418, "x" * 2_000_000, "does not answer as an MLflow server does (418 "),
    ],
)
def test_what_is_no_mlflow_server_or_lets_nobody_in_is_told(
    status: int, body: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(status, body) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.replace("//", "//me:secret@"))
        found = refusal()
    assert said in found
    assert "secret" not in found


@pytest.mark.slow
def test_a_server_that_does_not_expect_its_own_name_is_told(http_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's server takes localhost and private addresses, and no others without --allowed-hosts."""
    uri = http_uri.replace("127.0.0.1", "127.1")  # the same address by a name that it does not expect
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    advice = "start that server with --allowed-hosts and the host:port of MLFLOW_TRACKING_URI"
    found = refusal()
    assert found.startswith(f"the MLflow server {uri} refuses this address (403 Invalid Host header")
    assert advice in found
    with pytest.raises(StoreUnreachable, match=advice), connection.reading(uri) as client:
        client.search_experiments()


@pytest.mark.slow
def test_artifacts_at_a_path_of_the_server_are_refused(http_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"path-{time.time_ns()}"
    MlflowClient(http_uri).create_experiment(name, "/srv/nowhere-here/artifacts")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", http_uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    said = refusal()
    assert "keeps artifacts at /srv/nowhere-here/artifacts, a path of the server" in said
    assert "--serve-artifacts" in said
    assert not Path("/srv/nowhere-here").exists()


@pytest.mark.slow
def test_a_folder_that_a_server_of_this_machine_shares_with_us_is_taken(
    http_uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = f"shared-{time.time_ns()}"
    (tmp_path / "artifacts of all").mkdir()
    MlflowClient(http_uri).create_experiment(name, f"file://{tmp_path}/artifacts%20of%20all")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", http_uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    assert store.before_measuring(None) is None


def test_a_new_experiment_would_keep_its_artifacts_where_the_servers_own_does(monkeypatch: pytest.MonkeyPatch) -> None:
    found = seen.Experiment("0", "Default", False, "/srv/nowhere-here/0")
    monkeypatch.setattr("runner.store.look.server.Server.by_id", lambda *_: found)
    monkeypatch.setattr("runner.store.look.server.Server.by_name", lambda *_: None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert "/srv/nowhere-here/0, a path of the server" in refusal()


@pytest.mark.slow
def test_a_server_that_passes_no_artifacts_on_is_refused(http_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = httplook.get
    # read off MLflow 3.17 and 2.9
    disabled = "Endpoint: /api/2.0/mlflow-artifacts/artifacts disabled due to the mlflow server running with "
    with answering(503, f"{disabled}`--no-serve-artifacts`.") as uri:
        monkeypatch.setattr(
            httplook, "get", lambda base, path, query: real(uri if "artifacts" in path else base, path, query)
        )
        monkeypatch.setenv("MLFLOW_TRACKING_URI", http_uri)
        assert "runs with --no-serve-artifacts" in refusal()
