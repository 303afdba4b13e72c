"""docs/record.schema.json describes the records that are written, and nothing else."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from runner.cell.jsonform import to_json
from runner.record import judgement, record
from tests.support.records import cpu_record, example_record, failed_record

ROOT = Path(__file__).resolve().parents[3]
SCHEMA: dict[str, Any] = json.loads((ROOT / "docs" / "record.schema.json").read_text(encoding="utf-8"))


def _faults(found: dict[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(SCHEMA).iter_errors(found)]


@pytest.mark.medium
def test_the_schema_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.medium
def test_measured_sessions_are_valid() -> None:
    assert _faults(example_record()) == []
    assert _faults(example_record(cell={"cache": "dynamic"}, protocol={"name": "tail", "steps": 300})) == []
    assert _faults(example_record(bytes={"weights_measured": 1})) == []
    assert _faults(cpu_record()) == []


@pytest.mark.parametrize("status", sorted({*record.STATUSES} - {record.MEASURED}))
def test_sessions_without_a_measurement_are_valid(status: str) -> None:
    assert _faults(failed_record(status)) == []


def test_every_section_that_the_reader_asks_for_is_required() -> None:
    assert {*record.ALWAYS_PRESENT} == {*SCHEMA["required"]}
    assert {*record.MEASURED_ONLY} == {*SCHEMA["then"]["required"]}


NUMBERS = ("bytes", "probes", "prefill", "latency", "floor", "gate", "memory", "cost_s")


@pytest.mark.parametrize("section", NUMBERS)
def test_every_number_has_a_description(section: str) -> None:
    for name, place in SCHEMA["properties"][section]["properties"].items():
        assert place["description"], name


def test_the_limits_of_the_judgement_are_those_of_the_schema() -> None:
    assert {*to_json(judgement.LIMITS)} == {*SCHEMA["properties"]["limits"]["properties"]}


CLOSED = (
    "session",
    "cell",
    "keys",
    "protocol",
    "outcome",
    "model",
    "gpu",
    "probes",
    "bytes",
    "gate",
    "latency",
    "floor",
)


@pytest.mark.parametrize("section", ["", *CLOSED])
def test_a_field_that_nobody_knows_is_a_fault(section: str) -> None:
    damaged = copy.deepcopy(example_record())
    (damaged[section] if section else damaged)["surprise"] = 1
    assert any("surprise" in fault for fault in _faults(damaged))


@pytest.mark.parametrize("section", sorted({*record.ALWAYS_PRESENT, *record.MEASURED_ONLY}))
def test_a_measured_session_without_a_section_is_a_fault(section: str) -> None:
    damaged = example_record()
    del damaged[section]
    assert any(f"'{section}' is a required property" in fault for fault in _faults(damaged))


def test_a_failed_session_must_say_why() -> None:
    assert _faults(failed_record(reasons=[])) != []
    assert _faults(failed_record(valid=True)) != []
