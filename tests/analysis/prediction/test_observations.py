"""Observations: the rows of the tables that the fit takes, and those that it leaves out."""

import json

import pytest

from analysis.prediction import observations
from runner.errors import BadValue
from runner.record import record
from tests.support.predictions import RECORDS, committed
from tests.support.records import as_session, example_record

FILE = "llama-3.1-8b-2048-bf16-graph-static-0-81c4faa160414cf3.json"


def written(folder, *records):
    for number, each in enumerate(records):
        record.write(each, folder / f"{number}.json")
    return folder


def test_a_row_is_the_median_of_its_sessions(tmp_path):
    one = json.loads((RECORDS / "h200" / FILE).read_text())
    (row,) = observations.observed(written(tmp_path, one)).rows
    assert row.name == "h200 llama-3.1-8b 2048 bf16 cublas graph static"
    assert (row.wall_ms, row.revisit_ms) == (one["latency"]["step_wall_ms"],) * 2
    assert row.busy_ms == one["latency"]["step_busy_ms"]
    assert row.least_share == one["floor"]["r_floor"]
    assert [each.session for each in row.sessions] == [one["session"]["id"]]
    assert row.times.products == pytest.approx(4310, rel=0.02)


def test_a_step_whose_kernels_are_not_known_is_named(tmp_path):
    found = observations.observed(written(tmp_path, example_record()))
    assert found.rows == []
    assert found.notes == [
        "not fitted: qwen2.5-7b 2048 bf16 eager static h200: its kernels have names that are not known here"
    ]


def test_other_options_protocols_and_invalid_sessions_are_no_observations(tmp_path):
    one = json.loads((RECORDS / "h200" / FILE).read_text())
    flash, *_ = (RECORDS / "h200").glob("qwen2.5-7b-2048-bf16-eager-dynamic-sdpa=flash-0-*.json")
    other = json.loads(flash.read_text())
    found = observations.observed(written(tmp_path, one, other))
    assert [row.model for row in found.rows] == ["llama-3.1-8b"]
    assert found.notes == []


def test_a_file_that_is_no_record_is_left_out_by_name(tmp_path):
    damaged = written(tmp_path, as_session(example_record(), 1)) / "0.json"
    damaged.write_text(damaged.read_text().replace('"step_wall_ms": ', '"step_wall_ms": 1'))
    found = observations.observed(tmp_path)
    assert found.rows == []
    assert [line.startswith(str(damaged)) for line in found.left_out] == [True]


def test_a_folder_without_records_is_an_error(tmp_path):
    with pytest.raises(BadValue, match="no record"):
        observations.observed(tmp_path)


@pytest.mark.slow
def test_every_usual_row_of_the_committed_records_is_observed():
    found = committed()
    assert found.left_out == found.notes == []
    assert {row.gpu for row in found.rows} >= {"h100", "h200"}
    assert len({(row.name, row.flags) for row in found.rows}) == len(found.rows)
