"""`runner verify` finds every number that does not follow from the raw values."""

import copy
import json

import pytest

from runner import metrics, recompute, record
from runner.errors import BadRecord
from tests.records import example_record


def test_an_untouched_record_has_no_differences():
    assert recompute.differences(example_record()) == []


@pytest.mark.parametrize("metric", [m for m, _ in metrics.derived()], ids=lambda m: m.path)
def test_each_derived_number_is_recomputed(metric):
    found = example_record()
    *parents, leaf = metric.path.split(".")
    target = found
    for parent in parents:
        target = target[parent]
    target[leaf] = 12345.678 if target[leaf] is None else target[leaf] * 1.001 + 1e-3
    assert any(metric.path in line for line in recompute.differences(found))


def test_a_changed_raw_step_a_verdict_and_a_key_are_noticed():
    found = example_record()
    found["passes"]["wall"]["steps_ms"] = [step / 2 for step in found["passes"]["wall"]["steps_ms"]]
    assert any("latency.step_wall_ms" in line for line in recompute.differences(found))
    lied = copy.deepcopy(example_record())
    lied["gate"]["checks"][0]["errors"][0] = 0.5
    assert any(line.startswith("valid") for line in recompute.differences(lied))
    moved = example_record()
    moved["cell"]["ctx"] = 4096
    assert any("cell_key" in line for line in recompute.differences(moved))


def test_missing_steps_are_noticed():
    found = example_record()
    found["passes"]["wall"]["steps_ms"].pop()
    assert any("29 steps" in line for line in recompute.differences(found))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 99}', '{"schema_version": 1}'])
def test_damaged_records_are_refused_in_one_line(text):
    with pytest.raises(BadRecord) as caught:
        record.parse(text, "x.json")
    assert "\n" not in str(caught.value)
    assert "x.json" in str(caught.value)


def test_a_record_survives_its_file(tmp_path):
    found = example_record()
    record.write(found, tmp_path / "r.json")
    assert record.read(tmp_path / "r.json") == json.loads(json.dumps(found))
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
