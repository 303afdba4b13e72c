"""How a run is filled and closed, in a real store: what is found again, what a failure leaves, what points carry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from runner.errors import BadRecord
from runner.store import connection
from runner.store.commit import Committed, closed_on_failure, log_files, store_view
from runner.store.made_run import find_run
from runner.store.session_run import COMMITTED_TAG, view
from tests.runner.store import contents
from tests.support.derive import typed
from tests.support.records import example_record

SESSION = "0f3c9a52b7d1e846"
FINISHED_MS = 1_760_000_021_000


@pytest.fixture
def client(sqlite_uri: str) -> Iterator[MlflowClient]:
    with connection.opened(None) as opened:
        assert opened.tracking_uri == sqlite_uri
        yield opened


def test_all_points_carry_the_end_of_the_session_and_the_model_is_its_input(client: MlflowClient) -> None:
    found = example_record()
    run_id = store_view(client, view(typed(found)), None).run_id
    (point,) = client.get_metric_history(run_id, "latency/step_wall_ms")
    assert (point.value, point.timestamp, point.step) == (36.0, FINISHED_MS, 0)
    series = client.get_metric_history(run_id, "latency/step_wall_series_ms")
    assert {each.timestamp for each in series} == {FINISHED_MS}
    (used,) = client.get_run(run_id).inputs.dataset_inputs
    assert (used.dataset.source_type, used.dataset.source) == ("weights", view(typed(found)).dataset.source)
    assert [(tag.key, tag.value) for tag in used.tags] == [("mlflow.data.context", "model")]


def test_whether_the_store_had_it_before_is_told(client: MlflowClient) -> None:
    first, second = (store_view(client, view(typed(example_record())), None) for _ in range(2))
    assert (first.was_present, second.was_present) == (False, True)
    assert second.run_id == first.run_id
    assert client.get_run(first.run_id).data.tags[COMMITTED_TAG] == view(typed(example_record())).digest


@pytest.mark.parametrize("status", ["RUNNING", "FAILED", "KILLED"])
def test_a_filled_run_that_was_not_closed_as_its_session_is_closed_anew(client: MlflowClient, status: str) -> None:
    run_id = store_view(client, view(typed(example_record())), None).run_id
    client.set_terminated(run_id, status, 5) if status != "RUNNING" else client.update_run(run_id, status)
    assert store_view(client, view(typed(example_record())), None).was_present
    info = client.get_run(run_id).info
    assert (info.status, info.end_time) == ("FINISHED", FINISHED_MS)


def test_a_run_without_the_mark_is_filled_again_whoever_closed_it(client: MlflowClient) -> None:
    run_id = store_view(client, view(typed(example_record())), None).run_id
    client.delete_tag(run_id, COMMITTED_TAG)
    client.delete_tag(run_id, "cell_key")
    assert store_view(client, view(typed(example_record())), None) == Committed(run_id, was_present=False)
    assert {"cell_key", COMMITTED_TAG} <= client.get_run(run_id).data.tags.keys()


def test_a_run_of_mlflow_that_somebody_deleted_is_passed_over(client: MlflowClient) -> None:
    made = client.create_run(client.create_experiment("decode-floor")).info.run_id
    client.delete_run(made)
    assert store_view(client, view(typed(example_record())), made).run_id != made


def test_a_session_that_has_a_run_does_not_take_that_of_mlflow(client: MlflowClient) -> None:
    run_id = store_view(client, view(typed(example_record())), None).run_id
    made = client.create_run(client.get_run(run_id).info.experiment_id).info.run_id
    assert store_view(client, view(typed(example_record())), made) == Committed(run_id, was_present=True)


def test_a_refused_record_leaves_the_run_as_it_was(client: MlflowClient) -> None:
    run_id = store_view(client, view(typed(example_record())), None).run_id
    with pytest.raises(BadRecord, match=rf"session {SESSION} is already in the store \(run {run_id}\) with other"):
        store_view(client, view(typed(example_record(step_ms=18.0))), None)
    assert client.get_run(run_id).info.status == "FINISHED"


class Full(Exception):
    """What a store may raise in the middle of a session."""


@pytest.mark.parametrize("step", ["log_inputs", "log_artifacts"])
def test_a_run_that_cannot_be_filled_is_closed_as_failed_and_says_what_to_do(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise Full

    with monkeypatch.context() as patch:
        patch.setattr(client, step, full)
        with pytest.raises(Full):
            store_view(client, view(typed(example_record())), None)
    ((begun,), home) = (contents.runs(client.tracking_uri), client.get_experiment_by_name("decode-floor"))
    assert (begun.info.status, begun.info.experiment_id) == ("FAILED", home.experiment_id)
    assert (begun.data.tags["valid"], begun.data.tags["reason"]) == ("false", "store-unreachable")
    assert "python -m runner import" in begun.data.tags["message"]
    assert COMMITTED_TAG not in begun.data.tags
    assert store_view(client, view(typed(example_record())), None).run_id == begun.info.run_id
    filled = client.get_run(begun.info.run_id)
    assert (filled.info.status, filled.data.tags["valid"], filled.data.tags["message"]) == ("FINISHED", "true", "")


def test_a_run_that_was_closed_before_is_left_closed_as_it_was(client: MlflowClient) -> None:
    run_id = store_view(client, view(typed(example_record())), None).run_id
    closed = client.get_run(run_id)
    with pytest.raises(Full), closed_on_failure(client, closed, {"message": "m"}):
        raise Full
    assert (client.get_run(run_id).info.status, client.get_run(run_id).data.tags["message"]) == ("FINISHED", "")


def test_a_store_that_takes_not_even_the_end_hides_no_error(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise ConnectionError

    made = client.create_run(client.create_experiment("x"))
    monkeypatch.setattr(client, "set_terminated", away)
    with pytest.raises(Full), closed_on_failure(client, made):
        raise Full


def test_only_a_run_that_is_not_there_is_none(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_run(client, "0" * 32) is None

    def broken(_run_id: str) -> None:
        raise MlflowException("the database is locked")

    monkeypatch.setattr(client, "get_run", broken)
    with pytest.raises(MlflowException, match="locked"):
        find_run(client, "0" * 32)


def test_files_may_be_texts_or_bytes_and_lie_in_folders(client: MlflowClient, tmp_path: Any) -> None:
    run_id = store_view(client, view(typed(example_record())), None).run_id
    log_files(client, run_id, {"deep/a.txt": "ä\n", "b.bin": b"\xff\x00"})
    folder = client.download_artifacts(run_id, "", str(tmp_path))
    assert (tmp_path / "deep" / "a.txt").read_bytes() == "ä\n".encode()
    assert (tmp_path / "b.bin").read_bytes() == b"\xff\x00"
    assert folder


def test_mlflows_lines_about_a_run_are_not_in_the_commands_own_output(
    client: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    store_view(client, view(typed(example_record())), None)
    assert capsys.readouterr().out == ""
