"""What one committed session looks like in MLflow, in each kind of store."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from runner import store
from runner.errors import BadRecord
from runner.record import metrics, record
from runner.store import saved_views, session_run
from tests.runner.store import contents
from tests.support.derive import typed
from tests.support.records import cpu_record, example_record, failed_record, packed_record

ROOT = Path(__file__).resolve().parents[3]


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


def test_committing_again_changes_nothing(any_uri: str) -> None:
    measured = example_record()
    run_id = store.commit(typed(measured), None)
    before = contents.everything(any_uri, run_id)
    assert store.commit(typed(measured), None) == run_id
    assert contents.everything(any_uri, run_id) == before


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
    assert filled.info.run_name == "qwen2.5-7b 2048 bf16 eager static h200 #0"
    assert (filled.data.params["ctx"], filled.data.params["cell.ctx"]) == ("auto", "2048")


def test_a_run_id_that_another_session_took_is_not_filled_twice(sqlite_uri: str) -> None:
    first = store.commit(typed(example_record(session={"id": "first"})), None)
    second = store.commit(typed(example_record(session={"id": "second"})), first)
    assert second != first
    assert contents.session_run(sqlite_uri, "first").info.run_id == first


def test_a_run_id_of_another_store_is_passed_over(any_uri: str) -> None:
    run_id = store.commit(typed(example_record()), "0" * 32)
    assert MlflowClient(tracking_uri=any_uri).get_run(run_id).info.status == "FINISHED"


def test_another_record_of_a_committed_session_is_refused(sqlite_uri: str) -> None:
    store.commit(typed(example_record(step_ms=36.0)), None)
    with pytest.raises(BadRecord, match="with other content"):
        store.commit(typed(example_record(step_ms=18.0)), None)
    # 36.0 ms, untouched by the second record
    assert contents.session_run(sqlite_uri, "0f3c9a52b7d1e846").data.metrics["latency/step_wall_ms"] == 36.0


@pytest.mark.parametrize("steps", [300, 1000])
def test_a_long_series_arrives_whole(any_uri: str, steps: int) -> None:
    # MLflow takes at most 1000 metrics, params and tags in one call: 1000 steps need two
    run_id = store.commit(typed(example_record(protocol={"name": "custom", "steps": steps})), None)
    rows = contents.everything(any_uri, run_id)["rows"]["latency/step_wall_series_ms"]
    assert [step for step, _, _ in rows] == list(range(steps))


def test_an_invalid_session_is_kept_as_failed_with_its_reasons(sqlite_uri: str) -> None:
    wrong = example_record(bytes={"weights_measured": 1})
    run = MlflowClient(tracking_uri=sqlite_uri).get_run(store.commit(typed(wrong), None))
    assert run.info.status == "FAILED"
    assert run.data.tags["valid"] == "false"
    assert run.data.tags["reason"] == "invalid-session"
    assert run.data.tags["exit_code"] == "23"
    assert "1 bytes on the device, accounted 15231233024" in run.data.tags["reasons"]
    assert "1 bytes on the device, accounted 15231233024" in run.data.tags["mlflow.note.content"]


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


def test_a_cpu_session_has_only_the_wall_clock(sqlite_uri: str) -> None:
    run = MlflowClient(tracking_uri=sqlite_uri).get_run(store.commit(typed(cpu_record()), None))
    assert "latency/step_wall_ms" in run.data.metrics
    assert "latency/step_span_ms" not in run.data.metrics
    assert "floor/r_floor" not in run.data.metrics
    assert "floor/r_floor_achievable" in run.data.metrics


def test_the_description_says_what_was_measured_how_well_and_where_the_time_went(sqlite_uri: str) -> None:
    run = MlflowClient(tracking_uri=sqlite_uri).get_run(store.commit(typed(example_record()), None))
    text = run.data.tags["mlflow.note.content"]
    assert "**qwen2.5-7b** at ctx **2048** on **NVIDIA H200**" in text
    # MLflow's page shows the first lines only
    assert text.startswith("**36 ms** per step · `r_floor` **0.08252** · valid\n")
    assert "### Valid" in text
    assert "| one step, host clock (`step_wall_ms`) | 36 | ms |" in text
    # (14.141 + 0.117) GB / 4800 GB/s = 2.971 ms;  2.971 / 36 = 0.0825
    assert "(`floor_ms`) | 2.971 | ms |" in text
    assert "(`r_floor`) | 0.08252 |  |" in text
    # 21 - (0.21 + 4.8 + 0.35 + 1.9 + 1.7 + 0.72 + 0.474 + 6.2) = 4.646
    assert "### Time of each phase: 21.0 s from command to record" in text
    assert "| other | 4.65 |" in text


def test_flags_are_explained(sqlite_uri: str) -> None:
    run = MlflowClient(tracking_uri=sqlite_uri).get_run(
        store.commit(typed(example_record(given_flags=["shared-host"])), None)
    )
    assert run.data.tags["flags"] == "shared-host"
    assert "`shared-host`: another session was measured on this host" in run.data.tags["mlflow.note.content"]


def test_the_embedded_store_is_made_in_the_working_folder_and_described(tmp_path: Path) -> None:
    views_prefix = "mlflow.sharedViewState."
    record.write(example_record(), tmp_path / "one.json")
    imports = "from pathlib import Path; from runner import store; from runner.record import written"
    # in a process of its own: MLflow keeps one store a URI, and another test may have had its own of the relative one
    command = (sys.executable, "-c", f"{imports}; store.commit(written.read(Path('one.json')), None)")
    subprocess.run(command, env={"PYTHONPATH": str(ROOT), "PATH": ""}, cwd=tmp_path, check=True)
    assert (tmp_path / "mlflow.db").exists()
    experiment = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db").get_experiment_by_name("decode-floor")
    assert experiment is not None
    assert "To compare cells" in experiment.tags["mlflow.note.content"]
    saved = {name: json.loads(text) for name, text in experiment.tags.items() if name.startswith(views_prefix)}
    assert sorted(session_run["name"] for session_run in saved.values()) == ["A/B", "Cells", "Sessions"]


def test_the_experiment_is_that_of_the_environment(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = MlflowClient(tracking_uri=sqlite_uri).create_experiment("given")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", given)
    store.commit(typed(example_record()), None)
    assert [run.info.experiment_id for run in contents.runs(sqlite_uri)] == [given]


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


def test_the_store_calls_of_one_session_take_at_most_300_ms(sqlite_uri: str) -> None:
    seconds: list[float] = []
    while len(seconds) < 6 or (min(seconds) > 0.3 and len(seconds) < 40):
        index = len(seconds)
        measured = example_record(session={"id": f"session-{index}", "index": index})
        started = time.perf_counter()
        store.commit(typed(measured), None)
        seconds.append(time.perf_counter() - started)
    print(f"store calls of one session on {sqlite_uri}: {', '.join(f'{1e3 * each:.0f}' for each in seconds)} ms")
    # the best of six, on a busy machine of up to forty: it makes many of them slow, and none of them fast
    assert min(seconds) <= 0.3


def test_what_someone_wrote_about_the_experiment_stays(sqlite_uri: str) -> None:
    client = MlflowClient(tracking_uri=sqlite_uri)
    made = client.create_experiment("decode-floor", tags={"mlflow.note.content": "mine"})
    store.commit(typed(example_record()), None)
    tags = client.get_experiment(made).tags
    assert tags["mlflow.note.content"] == "mine"
    assert "mlflow.sharedViewState.cells" in tags


def test_the_experiment_where_mlflow_put_its_run_gets_the_views_too(sqlite_uri: str) -> None:
    # a plain `mlflow run .` puts it into MLflow's own, called Default
    client = MlflowClient(tracking_uri=sqlite_uri)
    run_id = client.create_run("0").info.run_id
    assert store.commit(typed(example_record()), run_id) == run_id
    assert "mlflow.sharedViewState.cells" in client.get_experiment("0").tags
    assert "To compare cells" in client.get_experiment("0").tags["mlflow.note.content"]
    # and no other experiment was made beside it
    assert [each.name for each in client.search_experiments()] == ["Default"]
    address = "http://127.0.0.1:5000/#/experiments/0/runs?viewStateShareKey=cells&workflowType=machine_learning"
    assert store.cells_addresses("http://127.0.0.1:5000") == [("Default", address)]


def test_views_of_an_older_version_are_replaced(sqlite_uri: str) -> None:
    client = MlflowClient(tracking_uri=sqlite_uri)
    made = client.create_experiment("decode-floor", tags={"mlflow.sharedViewState.cells": "older"})
    store.commit(typed(example_record()), None)
    saved = json.loads(json.loads(client.get_experiment(made).tags["mlflow.sharedViewState.cells"])["state"])
    assert saved["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "group"}]


def test_a_run_of_before_there_were_groups_gets_its_own_when_it_is_imported_again(sqlite_uri: str) -> None:
    client = MlflowClient(tracking_uri=sqlite_uri)
    run_id = store.commit(typed(example_record()), None)
    group = client.get_run(run_id).data.tags["group"]
    client.delete_tag(run_id, "group")
    assert store.commit(typed(example_record()), None) == run_id
    assert client.get_run(run_id).data.tags["group"] == group


def test_only_sessions_that_may_be_averaged_are_in_one_group() -> None:
    example = example_record()
    plain = typed(example)
    assert re.fullmatch(r"qwen2\.5-7b 2048 bf16 eager static h200 [0-9a-f]{6}", session_run.group(plain))
    assert session_run.group(typed(example_record(session={"id": "another", "index": 1}))) == session_run.group(plain)
    keys = ("cell_key", "code_key", "env_key")
    others = [session_run.group(typed({**example, "keys": {**example["keys"], name: "other"}})) for name in keys]
    tail = session_run.group(typed(example_record(protocol={"name": "tail", "steps": 300})))
    assert len({session_run.group(plain), tail, *others}) == 5
    assert " tail " in tail


def test_the_views_name_only_metrics_and_tags_that_runs_have(sqlite_uri: str) -> None:
    run = MlflowClient(tracking_uri=sqlite_uri).get_run(store.commit(typed(example_record()), None))
    assert {*saved_views.NUMBERS} <= {*run.data.metrics}
    assert {*saved_views.WORDS, saved_views.GROUP_TAG} <= {*run.data.tags}
    assert {name.partition("/")[0] for name in run.data.metrics} == {
        *saved_views.OPEN_SECTIONS,
        *saved_views.CLOSED_SECTIONS,
    }


def test_how_weights_are_packed_can_be_compared() -> None:
    params = session_run.view(typed(packed_record(runtime="exllamav2"))).params
    assert {name: value for name, value in params.items() if name.startswith("scheme.")} == {
        "scheme.group_size": "128",
        "scheme.sym": "True",
        "scheme.desc_act": "False",
        "scheme.double_quant": "False",
    }
    assert params["actual.settings"] == "embedding:cpu"
