"""Records of this project's own processes, read without pydantic."""

import json

import pytest

from runner.errors import BadRecord
from runner.record import record, written
from runner.record.sections.head import SessionInfo
from runner.record.sessionrecord import FailedRecord, MeasuredRecord
from tests.support.records import example_record, failed_record


def test_a_measured_record_and_a_failed_one_have_types_of_their_own(tmp_path):
    record.write(example_record(), tmp_path / "measured.json")
    record.write(failed_record(), tmp_path / "failed.json")
    measured, failed = written.read(tmp_path / "measured.json"), written.read(tmp_path / "failed.json")
    assert (type(measured), type(failed)) == (MeasuredRecord, FailedRecord)
    assert measured.passes.wall.steps_ms == tuple(example_record()["passes"]["wall"]["steps_ms"])
    assert failed.outcome.status == "failed"


@pytest.mark.parametrize("section", ["cell", "session", "keys", "protocol", "passes", "reasons"])
def test_a_record_without_a_section_is_damaged(section):
    damaged = example_record()
    del damaged[section]
    with pytest.raises(BadRecord, match=rf"^one\.json: damaged record: {section} is missing: restore the file"):
        written.typed(damaged, "one.json")


def test_a_field_that_is_missing_unknown_or_of_another_type_is_named(tmp_path):
    for change, said in (
        (lambda cell: cell.pop("runtime"), "cell.runtime is missing"),
        (lambda cell: cell.update(surprise=1), "cell.surprise: no such field"),
        (lambda cell: cell.update(ctx="64"), "cell.ctx: '64' is not of type int"),
    ):
        damaged = example_record()
        change(damaged["cell"])
        (tmp_path / "one.json").write_text(json.dumps(damaged))
        with pytest.raises(BadRecord, match=rf"one\.json: damaged record: {said}"):
            written.read(tmp_path / "one.json")


def test_the_head_of_a_record_is_read_whatever_its_measurement_is(tmp_path):
    damaged = example_record()
    damaged["passes"]["wall"]["steps_ms"] = "none"
    record.write(damaged, tmp_path / "one.json")
    head = written.read_head(tmp_path / "one.json")
    assert (type(head.session), head.session.id) == (SessionInfo, damaged["session"]["id"])
    assert (head.keys.cell_key, head.outcome.status) == (damaged["keys"]["cell_key"], "measured")


@pytest.mark.parametrize("change", [{"session": None}, {"keys": []}, {"protocol": {"name": "paper"}}])
def test_a_damaged_head_is_said(tmp_path, change):
    record.write(example_record() | change, tmp_path / "one.json")
    with pytest.raises(BadRecord, match="damaged record"):
        written.read_head(tmp_path / "one.json")
