"""The run that a record becomes, before any store is asked."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from runner.record import metrics, read, record
from runner.store import saved_views, session_run
from runner.store.session_run import view
from tests.runner.launch.container.fake import DIGEST
from tests.support.derive import typed
from tests.support.energies import energy_record
from tests.support.hostconditions import busy
from tests.support.records import cpu_record, example_record, failed_record, of_gate_version_1, packed_record

ROOT = Path(__file__).parents[3]
SCHEME = ("cell", "protocol", "session", "environment", "actual", "host", "container")
CONTAINER = {
    "engine": "podman",
    "image": "decode-floor:hopper-modern",
    "digest": "sha256:0123",
    "tree_key": "0123456789ab",
}


def test_a_run_carries_the_times_the_name_and_the_series_of_its_session():
    found = example_record(session={"index": 3})
    shown = view(typed(found))
    assert (shown.session, shown.status) == (found["session"]["id"], "FINISHED")
    assert shown.name == "h200 eager bf16 2048 qwen2.5-7b static #3"
    assert (shown.started_ms, shown.finished_ms) == (1_760_000_000_000, 1_760_000_021_000)
    assert (shown.series_name, shown.series) == (
        "latency/step_wall_series_ms",
        tuple(found["passes"]["wall"]["steps_ms"]),
    )


def test_a_session_without_an_end_ends_when_it_began():
    shown = view(typed(failed_record("interrupted")))
    assert (shown.started_ms, shown.finished_ms, shown.series) == (1_760_000_000_000, 1_760_000_000_000, ())


def test_its_params_are_the_resolved_fields_of_each_section():
    found = example_record(container=CONTAINER, session={"index": 3, "seed": 5, "study": "s"})
    params = view(typed(found)).params
    assert {name.partition(".")[0] for name in params} == {*SCHEME}
    for section in ("cell", "protocol", "environment", "actual", "host", "container"):
        assert {name for name in params if name.startswith(f"{section}.")} == {
            f"{section}.{field}" for field in found[section]
        }
    assert {name: value for name, value in params.items() if name.startswith("session.")} == {
        "session.study": "s",
        "session.index": "3",
        "session.seed": "5",
    }
    assert (params["cell.options"], params["environment.kernel_package"]) == ("none", "none")


def test_options_are_a_param_in_one_order():
    found = example_record(cell={"options": {"sym": "true", "sdpa": "flash"}})
    assert view(typed(found)).params["cell.options"] == "sdpa:flash,sym:true"


def test_texts_are_cut_to_what_mlflow_takes():
    shown = view(typed(example_record(environment={"torch": "x" * 7000}) | {"reasons": ["y" * 7000]}))
    assert len(shown.params["environment.torch"]) == 6000
    assert len(shown.tags["reasons"]) == 5000


def test_its_metrics_are_all_that_the_record_has_in_the_order_of_the_sections():
    found = energy_record()
    shown = view(typed(found)).metrics
    assert shown == metrics.values(typed(found))
    sections = [name.partition("/")[0] for name in shown]
    assert list(dict.fromkeys(sections)) == [*saved_views.SECTIONS]


def test_its_tags_say_what_was_measured_and_whether_it_counts():
    found = example_record(given_flags=["unpinned", "shared-host"], container=CONTAINER)
    with_files = {**found, "keys": {**found["keys"], "code_files": ["cell/cell.py", "job.py"]}}
    tags = view(typed(with_files)).tags
    cell = {name: str(found["cell"][name]) for name in ("gpu", "model", "ctx", "quant", "kernel", "runtime", "dtype")}
    expected = {
        **cell,
        **found["keys"],
        "schema_version": "1",
        "cell": "qwen2.5-7b 2048 bf16 eager static h200",
        "cache": "static",
        "study": "adhoc",
        "session": found["session"]["id"],
        "index": "0",
        "protocol": "paper",
        "valid": "true",
        "flags": "shared-host,unpinned",
        "reasons": "",
        "reason": "",
        "message": "",
        "status": "measured",
        "exit_code": "0",
        "ms/step": f"{found['latency']['step_wall_ms']:.3f}",
        "r_floor": f"{found['floor']['r_floor']:.3f}",
        "p90": f"{found['latency']['step_wall_p90_ms']:.3f}",
        "gate_version": "2",
        "image": CONTAINER["image"],
        "digest": CONTAINER["digest"],
        "decode_floor.name": "h200 eager bf16 2048 qwen2.5-7b static #0",
    }
    assert {name: value for name, value in tags.items() if name not in ("group", "mlflow.note.content")} == expected
    assert "**qwen2.5-7b** at ctx **2048**" in tags["mlflow.note.content"]


def test_a_session_that_version_1_of_the_gate_judged_has_no_such_tag():
    assert "gate_version" not in view(typed(of_gate_version_1(example_record()))).tags
    assert "image" not in view(typed(example_record())).tags


def test_an_invalid_session_is_failed_with_its_reasons_in_one_text():
    found = example_record(bytes={"weights_measured": 1})
    found["reasons"].append("second")
    shown = view(typed(found))
    assert (shown.status, shown.tags["valid"]) == ("FAILED", "false")
    assert (shown.tags["reason"], shown.tags["exit_code"]) == ("invalid-session", "23")
    assert shown.tags["reasons"] == "; ".join(found["reasons"])


@pytest.mark.parametrize(
    ("status", "run_status", "reason", "exit_code"),
    [
        ("failed", "FAILED", "worker-failed", "19"),
        ("oom", "FAILED", "oom", "18"),
        ("timeout", "FAILED", "worker-timeout", "20"),
        ("infeasible", "FAILED", "infeasible", "17"),
        ("interrupted", "KILLED", "interrupted", "130"),
    ],
)
def test_a_session_without_a_measurement_says_how_it_ended(status, run_status, reason, exit_code):
    shown = view(typed(failed_record(status)))
    tags = shown.tags
    assert (shown.status, tags["status"], tags["reason"], tags["exit_code"]) == (run_status, status, reason, exit_code)
    assert tags["message"] == "the worker was killed by SIGSEGV; its last output: Fatal Python error"
    assert shown.files["last_output.txt"] == "loading\nFatal Python error: Segmentation fault\n"


def test_a_reason_that_this_version_does_not_know_has_the_code_of_any_error():
    found = failed_record()
    found["outcome"]["reason"] = "of-a-newer-version"
    assert (view(typed(found)).tags["reason"], view(typed(found)).tags["exit_code"]) == ("of-a-newer-version", "1")
    found["outcome"]["reason"] = None
    assert view(typed(found)).tags["reason"] == "failed"


@pytest.mark.medium
def test_its_dataset_is_the_model_with_where_the_weights_came_from():
    dataset = view(typed(example_record())).dataset
    assert (dataset.name, dataset.digest) == ("qwen2.5-7b", "synthetic-v1")
    shape = example_record()["model"]["shape"]
    assert json.loads(dataset.source) == {"kind": "synthetic", "weights_id": "synthetic-v1", "shape": shape}
    revision = "a" * 40
    from_hub = view(typed(example_record(cell={"weights_id": revision}, request={"weights": "hub"}))).dataset
    assert (from_hub.digest, json.loads(from_hub.source)["kind"]) == ("a" * 36, "hub")
    assert json.loads(from_hub.source)["weights_id"] == revision


def test_its_files_are_the_record_and_what_a_person_opens():
    found = example_record()
    files = view(typed(found)).files
    assert [*files] == ["record.json", "snapshots/before.json", "snapshots/after.json", "kernels.csv"]
    assert json.loads(files["record.json"]) == found
    assert json.loads(files["snapshots/after.json"]) == found["snapshots"]["after"]
    rows = list(csv.DictReader(io.StringIO(files["kernels.csv"])))
    assert [row["name"] for row in rows] == [kernel["name"] for kernel in found["kernels"]]
    assert float(rows[0]["us"]) == found["kernels"][0]["us"]
    assert [*rows[0]] == ["name", "count", "us"]
    assert "kernels.csv" not in view(typed(cpu_record())).files


def test_another_record_of_the_session_has_another_digest():
    found = example_record()
    digest = view(typed(found)).digest
    assert len(digest) == 16
    assert view(typed(json.loads(record.dump(found)))).digest == digest
    found["flags"] = ["throttled"]
    assert view(typed(found)).digest != digest


def test_the_artifact_is_the_text_that_the_records_file_has():
    """Older versions wrote fields in another order."""
    found = example_record()
    text = record.dump(dict(reversed(found.items())))
    assert view(typed(found), text).files["record.json"] == text


@pytest.mark.medium
def test_only_sessions_that_may_be_averaged_are_in_one_group() -> None:
    example = example_record()
    plain = typed(example)
    assert re.fullmatch(r"h200 eager bf16 2048 qwen2\.5-7b static [0-9a-f]{6}", session_run.group(plain))
    assert session_run.group(typed(example_record(session={"id": "another", "index": 1}))) == session_run.group(plain)
    keys = ("cell_key", "code_key", "env_key")
    others = [session_run.group(typed({**example, "keys": {**example["keys"], name: "other"}})) for name in keys]
    tail = session_run.group(typed(example_record(protocol={"name": "tail", "steps": 300})))
    assert len({session_run.group(plain), tail, *others}) == 5
    assert " tail " in tail


COMMITTED = "h100/llama-3.1-8b-2048-awq-fp16-marlin-graph-static-0-3c1169db6ac745ab.json"


def test_a_committed_session_keeps_its_group_and_its_digest() -> None:
    """A store that has it must not take it for another one."""
    found = read.from_file(ROOT / "experiments" / "records" / COMMITTED)
    shown = view(found)
    assert session_run.group(found) == "h100 graph awq 2048 llama-3.1-8b fp16 marlin static bf8049"
    assert shown.digest == "12080623a38b517e"
    assert "protocol.windows" not in shown.params


def test_a_session_with_several_windows_has_their_number_and_the_series_of_all() -> None:
    counts = {"name": "tail-long", "steps": 300, "windows": 10}
    shown = view(typed(example_record(protocol=counts)))
    assert shown.params["protocol.windows"] == "10"
    assert len(shown.series) == 3000
    custom = [typed(example_record(protocol={"name": "custom", "steps": 30, "windows": each})) for each in (1, 2)]
    assert len({session_run.group(record) for record in custom}) == 2


@pytest.mark.medium
def test_how_weights_are_packed_can_be_compared() -> None:
    params = session_run.view(typed(packed_record(runtime="exllamav2"))).params
    assert {name: value for name, value in params.items() if name.startswith("scheme.")} == {
        "scheme.group_size": "128",
        "scheme.sym": "True",
        "scheme.desc_act": "False",
        "scheme.double_quant": "False",
    }
    assert params["actual.settings"] == "embedding:cpu"


def test_image_and_digest_are_tags_of_the_run_and_the_record_follows_its_schema() -> None:
    found = example_record()
    assert {"image", "digest"}.isdisjoint(view(typed(found)).tags)
    found["container"] = {"engine": "podman", "image": "decode-floor:cpu", "digest": DIGEST, "tree_key": "0123456789ab"}
    shown = view(typed(found))
    assert (shown.tags["image"], shown.tags["digest"]) == ("decode-floor:cpu", DIGEST)
    assert shown.params["container.engine"] == "podman"


def test_a_session_under_a_condition_of_the_host_says_so_in_tags_and_params_and_has_a_group_of_its_own():
    shown, plain = view(typed(busy())), view(typed(example_record()))
    assert (shown.tags["host_condition"], shown.params["host_condition.neighbours"]) == ("busy:8", "8")
    assert "host-condition" in shown.tags["flags"].split(",")
    assert " · host condition `busy:8`" in shown.tags["mlflow.note.content"]
    assert shown.tags["group"] != plain.tags["group"]
    assert "host_condition" not in plain.tags
    failed = view(typed(failed_record(request={"host_condition": "pinned:1"})))
    assert failed.tags["host_condition"] == "pinned:1"
