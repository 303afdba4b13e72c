"""One committed session in MLflow, in each kind of store, and the remains of a failure."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from mlflow import MlflowClient

from runner import store
from runner.errors import BadRecord
from runner.record import metrics, record
from runner.store import owner
from runner.store.commit import BATCH_ENTITIES, Committed, _log_numbers, closed_on_failure, log_files, store_view
from runner.store.session_run import COMMITTED_TAG, view
from tests.runner.store import contents
from tests.support import cputime
from tests.support.derive import typed
from tests.support.records import cpu_record, example_record, failed_record

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.medium
def test_the_run_holds_params_metrics_series_tags_dataset_and_files(any_uri: str, tmp_path: Path) -> None:
    measured = example_record()
    run_id = store.commit(typed(measured), None)
    found = contents.everything(any_uri, run_id)

    # 21 s after its start, by the session's own clock and not by that of the import
    assert found["info"][1:] == ("FINISHED", 1_760_000_000_000, 1_760_000_021_000)
    assert found["params"]["cell.ctx"] == "2048"
    assert not any(name.startswith("scheme.") for name in found["params"])
    assert found["params"]["protocol.steps"] == "30"
    assert found["params"]["environment.torch"] == "2.11.0+cu130"
    assert {name: rows[0][2] for name, rows in found["rows"].items() if name != metrics.STEP_SERIES} == (
        metrics.values(typed(measured))
    )
    series = [value for _, _, value in found["rows"]["latency/step_wall_series_ms"]]
    assert series == measured["passes"]["wall"]["steps_ms"]
    assert found["tags"]["cell_key"] == measured["keys"]["cell_key"]
    assert found["tags"]["schema_version"] == str(measured["schema_version"]) == "1"
    assert found["tags"]["valid"] == "true"
    assert found["tags"]["flags"] == ""
    assert found["inputs"] == [("qwen2.5-7b", "synthetic-v1")]
    assert found["files"] == ["kernels.csv", "record.json", "snapshots/after.json", "snapshots/before.json"]
    assert json.loads(contents.artifact_text(any_uri, run_id, "record.json", tmp_path)) == measured


@pytest.mark.slow
def test_committing_again_changes_nothing(any_uri: str) -> None:
    measured = example_record()
    run_id = store.commit(typed(measured), None)
    before = contents.everything(any_uri, run_id)
    assert store.commit(typed(measured), None) == run_id
    assert contents.everything(any_uri, run_id) == before


@pytest.mark.medium
def test_under_mlflow_run_the_run_that_mlflow_made_is_filled(any_uri: str) -> None:
    client = MlflowClient(tracking_uri=any_uri)
    made = client.create_run(client.create_experiment(f"of-mlflow-{time.time_ns()}"), run_name="clever-fox-12")
    for name, value in {
        "gpu": "auto",
        "ctx": "auto",
        "seed": "0",
        "protocol": "paper",
        "steps": "auto",
    }.items():
        client.log_param(made.info.run_id, name, value)  # as `mlflow run` does with its -P values
    assert store.commit(typed(example_record()), made.info.run_id) == made.info.run_id
    filled = client.get_run(made.info.run_id)
    assert filled.info.run_name == "h200 eager bf16 2048 qwen2.5-7b static #0"
    assert (filled.data.params["ctx"], filled.data.params["cell.ctx"]) == ("auto", "2048")


@pytest.mark.medium
def test_a_run_id_that_another_session_took_is_not_filled_twice(sqlite_uri: str) -> None:
    first = store.commit(typed(example_record(session={"id": "first"})), None)
    second = store.commit(typed(example_record(session={"id": "second"})), first)
    assert second != first
    assert contents.session_run(sqlite_uri, "first").info.run_id == first


@pytest.mark.medium
def test_a_run_id_of_another_store_is_passed_over(any_uri: str) -> None:
    run_id = store.commit(typed(example_record()), "0" * 32)
    assert MlflowClient(tracking_uri=any_uri).get_run(run_id).info.status == "FINISHED"


@pytest.mark.medium
def test_another_record_of_a_committed_session_is_refused(sqlite_uri: str) -> None:
    store.commit(typed(example_record(step_ms=36.0)), None)
    with pytest.raises(BadRecord, match="with other content"):
        store.commit(typed(example_record(step_ms=18.0)), None)
    # 36.0 ms, untouched by the second record
    assert contents.session_run(sqlite_uri, "0f3c9a52b7d1e846").data.metrics["latency/step_wall_ms"] == 36.0


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "windows"), [(300, 1), (1000, 1), (300, 10)])
def test_a_long_series_arrives_whole(any_uri: str, steps: int, windows: int) -> None:
    # MLflow takes at most 1000 metrics, params and tags in one call: 1000 steps need two, ten windows of 300 need four
    counts = {"name": "custom", "steps": steps, "windows": windows}
    run_id = store.commit(typed(example_record(protocol=counts)), None)
    rows = contents.everything(any_uri, run_id)["rows"]["latency/step_wall_series_ms"]
    assert [step for step, _, _ in rows] == list(range(steps * windows))


@pytest.mark.medium
def test_an_invalid_session_is_kept_as_failed_with_its_reasons(sqlite_uri: str) -> None:
    wrong = example_record(bytes={"weights_measured": 1})
    run = MlflowClient(tracking_uri=sqlite_uri).get_run(store.commit(typed(wrong), None))
    assert run.info.status == "FAILED"
    assert run.data.tags["valid"] == "false"
    assert run.data.tags["reason"] == "invalid-session"
    assert run.data.tags["exit_code"] == "23"
    assert "1 bytes on the device, accounted 15231233024" in run.data.tags["reasons"]
    assert "1 bytes on the device, accounted 15231233024" in run.data.tags["mlflow.note.content"]


@pytest.mark.medium
@pytest.mark.parametrize(
    ("status", "run_status", "reason", "exit_code"),
    [
        ("failed", "FAILED", "worker-failed", "19"),
        ("oom", "FAILED", "oom", "18"),
        ("interrupted", "KILLED", "interrupted", "130"),
    ],
)
def test_a_session_without_a_measurement_is_kept_with_its_last_output(
    sqlite_uri: str, tmp_path: Path, status: str, run_status: str, reason: str, exit_code: str
) -> None:
    run_id = store.commit(typed(failed_record(status)), None)
    run = MlflowClient(tracking_uri=sqlite_uri).get_run(run_id)
    assert (run.info.status, run.data.tags["reason"], run.data.tags["exit_code"]) == (
        run_status,
        reason,
        exit_code,
    )
    last = contents.artifact_text(sqlite_uri, run_id, "last_output.txt", tmp_path)
    assert last.splitlines()[-1] == "Fatal Python error: Segmentation fault"


@pytest.mark.medium
def test_a_cpu_session_has_only_the_wall_clock(sqlite_uri: str) -> None:
    run = MlflowClient(tracking_uri=sqlite_uri).get_run(store.commit(typed(cpu_record()), None))
    assert "latency/step_wall_ms" in run.data.metrics
    assert "latency/step_span_ms" not in run.data.metrics
    assert "floor/r_floor" not in run.data.metrics
    assert "floor/r_floor_achievable" in run.data.metrics


@pytest.mark.whole
@pytest.mark.slow
def test_eight_processes_make_one_store_and_none_fails(tmp_path: Path) -> None:
    for index in range(8):
        record.write(example_record(session={"id": f"session-{index}", "index": index}), tmp_path / f"{index}.json")
    imports = "import sys, pathlib; from runner import store; from runner.record import written"
    command = (sys.executable, "-c", f"{imports}; store.commit(written.read(pathlib.Path(sys.argv[1])), None)")
    started = [
        subprocess.Popen([*command, f"{index}.json"], env={"PYTHONPATH": str(ROOT), "PATH": ""}, cwd=tmp_path)
        for index in range(8)
    ]
    assert [process.wait() for process in started] == [0] * 8
    found = contents.runs(f"sqlite:///{tmp_path}/mlflow.db")
    assert sorted(run.data.tags["index"] for run in found) == [str(index) for index in range(8)]
    assert {run.info.status for run in found} == {"FINISHED"}


@pytest.mark.medium
def test_the_store_calls_of_one_session_take_at_most_300_ms(sqlite_uri: str) -> None:
    """Time of the CPU, since a busy machine makes every call slow. `make bench-study` measures the clock's."""
    seconds: list[float] = []
    for index in range(6):
        measured = typed(example_record(session={"id": f"session-{index}", "index": index}))
        seconds.append(cputime.timed(partial(store.commit, measured, None))[1])
    print(f"store calls of one session on {sqlite_uri}: {', '.join(f'{1e3 * each:.0f}' for each in seconds)} ms")
    assert min(seconds) <= 0.3


@pytest.mark.medium
def test_a_run_of_an_older_version_gets_the_tags_of_the_views_when_it_is_imported_again(sqlite_uri: str) -> None:
    client = MlflowClient(tracking_uri=sqlite_uri)
    run_id = store.commit(typed(example_record()), None)
    tags = client.get_run(run_id).data.tags
    for name in ("group", "ms/step", "p90"):
        client.delete_tag(run_id, name)
    assert store.commit(typed(example_record()), None) == run_id
    assert client.get_run(run_id).data.tags == tags


SESSION = "0f3c9a52b7d1e846"


FINISHED_MS = 1_760_000_021_000


@pytest.mark.medium
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


@pytest.mark.medium
def test_whether_the_store_had_it_before_is_told(client: MlflowClient) -> None:
    first, second = (store_view(client, view(typed(example_record())), None) for _ in range(2))
    assert (first.was_present, second.was_present) == (False, True)
    assert second.run_id == first.run_id
    assert client.get_run(first.run_id).data.tags[COMMITTED_TAG] == view(typed(example_record())).digest


@pytest.mark.medium
@pytest.mark.parametrize("status", ["RUNNING", "FAILED", "KILLED"])
def test_a_filled_run_that_was_not_closed_as_its_session_is_closed_anew(client: MlflowClient, status: str) -> None:
    run_id = store_view(client, view(typed(example_record())), None).run_id
    client.set_terminated(run_id, status, 5) if status != "RUNNING" else client.update_run(run_id, status)
    assert store_view(client, view(typed(example_record())), None).was_present
    info = client.get_run(run_id).info
    assert (info.status, info.end_time) == ("FINISHED", FINISHED_MS)


@pytest.mark.medium
def test_a_run_without_the_mark_is_filled_again_whoever_closed_it(client: MlflowClient) -> None:
    run_id = store_view(client, view(typed(example_record())), None).run_id
    client.delete_tag(run_id, COMMITTED_TAG)
    client.delete_tag(run_id, "cell_key")
    assert store_view(client, view(typed(example_record())), None) == Committed(run_id, was_present=False)
    assert {"cell_key", COMMITTED_TAG} <= client.get_run(run_id).data.tags.keys()


@pytest.mark.medium
def test_a_run_of_mlflow_that_somebody_deleted_is_passed_over(client: MlflowClient) -> None:
    made = client.create_run(client.create_experiment("decode-floor")).info.run_id
    client.delete_run(made)
    assert store_view(client, view(typed(example_record())), made).run_id != made


@pytest.mark.medium
def test_a_session_that_has_a_run_does_not_take_that_of_mlflow(client: MlflowClient) -> None:
    run_id = store_view(client, view(typed(example_record())), None).run_id
    made = client.create_run(client.get_run(run_id).info.experiment_id).info.run_id
    assert store_view(client, view(typed(example_record())), made) == Committed(run_id, was_present=True)


@pytest.mark.medium
def test_a_refused_record_leaves_the_run_as_it_was(client: MlflowClient) -> None:
    run_id = store_view(client, view(typed(example_record())), None).run_id
    with pytest.raises(BadRecord, match=rf"session {SESSION} is already in the store \(run {run_id}\) with other"):
        store_view(client, view(typed(example_record(step_ms=18.0))), None)
    assert client.get_run(run_id).info.status == "FINISHED"


class Full(Exception):
    """Errors that a store may raise in the middle of a session."""


@pytest.mark.medium
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


@pytest.mark.medium
def test_a_run_that_was_closed_before_is_left_closed_as_it_was(client: MlflowClient) -> None:
    run_id = store_view(client, view(typed(example_record())), None).run_id
    closed = client.get_run(run_id)
    with pytest.raises(Full), closed_on_failure(client, closed, {"message": "m"}):
        raise Full
    assert (client.get_run(run_id).info.status, client.get_run(run_id).data.tags["message"]) == ("FINISHED", "")


@pytest.mark.medium
def test_a_store_that_takes_not_even_the_end_hides_no_error(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise ConnectionError

    made = client.create_run(client.create_experiment("x"))
    monkeypatch.setattr(client, "set_terminated", away)
    with pytest.raises(Full), closed_on_failure(client, made):
        raise Full


@pytest.mark.medium
def test_files_may_be_texts_or_bytes_and_lie_in_folders(client: MlflowClient, tmp_path: Any) -> None:
    run_id = store_view(client, view(typed(example_record())), None).run_id
    log_files(client, run_id, {"deep/a.txt": "ä\n", "b.bin": b"\xff\x00"})
    folder = client.download_artifacts(run_id, "", str(tmp_path))
    assert (tmp_path / "deep" / "a.txt").read_bytes() == "ä\n".encode()
    assert (tmp_path / "b.bin").read_bytes() == b"\xff\x00"
    assert folder


@pytest.mark.medium
def test_mlflows_lines_about_a_run_are_not_in_the_commands_own_output(
    client: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    store_view(client, view(typed(example_record())), None)
    assert capsys.readouterr().out == ""


def test_a_call_has_at_most_as_many_entities_as_mlflow_takes() -> None:
    """The first call also has the params and the tags."""
    calls: list[list[int]] = []

    class Client:
        def log_batch(self, _run: str, *entities: list[Any], **_settings: bool) -> None:
            calls.append([len(each) for each in entities])

    session_view = view(typed(example_record(protocol={"name": "custom", "steps": 1500})))
    _log_numbers(cast("MlflowClient", Client()), "run", session_view)
    assert max(map(sum, calls)) == BATCH_ENTITIES
    assert sum(map(sum, calls)) == sum(
        map(len, (session_view.params, session_view.tags, owner.tag(), session_view.metrics, session_view.series))
    )
