"""What is made once stays one: when a server's answer is lost, and when another host makes the same."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from runner import store
from runner.record import record
from runner.store import creation
from runner.store.session_run import OWNER_TAG
from tests.runner.store import contents
from tests.support.derive import file_name
from tests.support.proxies import proxied
from tests.support.records import example_record


@pytest.fixture
def forgetful_uri(http_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that does what it is asked, and whose first answer to each kind of write is lost."""
    asked: Counter[str] = Counter()

    def is_first_write(path: str) -> bool:
        kind = "artifact" if "/artifacts/" in path else "/".join(path.split("/")[-2:])
        asked[kind] += 1
        return asked[kind] == 1 and not kind.endswith(("/search", "/get", "/get-by-name", "/list", "/artifacts"))

    with proxied(http_uri, is_lost=is_first_write) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", f"test-{time.time_ns()}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
        yield uri
    assert {"experiments/create", "runs/create", "runs/log-batch", "runs/update", "artifact"} <= set(asked)


@pytest.mark.slow
def test_a_lost_answer_to_a_write_neither_refuses_nor_doubles_a_session(forgetful_uri: str, tmp_path: Path) -> None:
    """MLflow's client repeats the request, and the server has what it asks for already."""
    for index in range(3):
        measured = example_record(session={"id": f"lost-{index}", "index": index})
        record.write(measured, tmp_path / "spool" / file_name(measured))
    report = store.import_folder(tmp_path / "spool")
    assert (len(report.imported), report.refused) == (3, ())
    stored = [run for run in contents.runs(forgetful_uri) if run.data.tags.get("session", "").startswith("lost-")]
    assert sorted((run.data.tags["session"], run.info.status) for run in stored) == [
        (f"lost-{index}", "FINISHED") for index in range(3)
    ]


@pytest.mark.medium
@pytest.mark.usefixtures("any_uri")
def test_an_experiment_that_another_host_makes_meanwhile_is_used(any_uri: str) -> None:
    client, name = MlflowClient(any_uri), f"both-{time.time_ns()}"
    theirs = client.create_experiment(name)
    assert creation.experiment(client, name) == theirs
    with pytest.raises(MlflowException, match=r"[Nn]ame"):
        creation.experiment(client, "")


@pytest.mark.medium
def test_a_run_has_its_tags_and_its_owner(any_uri: str) -> None:
    client = MlflowClient(any_uri)
    experiment = creation.experiment(client, f"runs-{time.time_ns()}")
    first, second = (creation.run(client, experiment, {"of": word}, 1, word) for word in ("it's", "that"))
    assert first.info.run_id != second.info.run_id
    assert (second.info.run_name, second.info.start_time, second.data.tags["of"]) == ("that", 1, "that")
    assert OWNER_TAG in first.data.tags


@pytest.mark.medium
def test_only_the_run_with_all_tags_is_the_one_whose_answer_was_lost(
    http_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    with proxied(http_uri, is_lost=lambda path: path.endswith("/runs/create")) as uri:
        client = MlflowClient(uri)
        experiment = creation.experiment(client, f"lost-{time.time_ns()}")
        made = {word: creation.run(client, experiment, {"of": word}) for word in ("this", "that")}
        assert {word: run.data.tags["of"] for word, run in made.items()} == {"this": "this", "that": "that"}
        stored = {run.info.run_id for run in client.search_runs([experiment])}
    assert stored == {run.info.run_id for run in made.values()}
