"""The reading of docs/record.schema.json without jsonschema says what jsonschema says."""

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from runner.errors import MissingPackage
from runner.record import structure
from tests.support.records import cpu_record, example_record, failed_record

VALIDATOR = Draft202012Validator(json.loads(structure.SCHEMA_PATH.read_text(encoding="utf-8")))
RECORDS = (example_record(), cpu_record(), failed_record())
UNDERSTOOD = {
    *("type", "const", "enum", "required", "properties", "additionalProperties"),
    *("items", "minItems", "uniqueItems", "minLength", "pattern", "minimum", "exclusiveMinimum"),
    *("if", "then", "else"),
}
ANNOTATIONS = {"$schema", "$id", "$comment", "title", "description"}


def keywords(schema):
    """Every keyword of a schema and of those in it."""
    yield from schema
    for inner in schema.get("properties", {}).values():
        yield from keywords(inner)
    for name in ("items", "additionalProperties", "if", "then", "else"):
        if isinstance(schema.get(name), dict):
            yield from keywords(schema[name])


def test_the_schema_uses_only_keywords_that_are_understood():
    assert set(keywords(VALIDATOR.schema)) <= UNDERSTOOD | ANNOTATIONS


def places(value):
    """(container, key) of everything in a record."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from places(item)


# no float that is a whole number: only for those the two readings differ, and that is meant
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(-2, 2).filter(lambda value: value != int(value)),
    st.text(max_size=3),
    st.sampled_from([[], {}, [1], ["a", "a"], {"a": 1}, "measured", "bf16", "0" * 12]),
)


@pytest.mark.slow
@settings(max_examples=150)
@given(data=st.data())
def test_a_changed_record_is_damaged_here_when_it_is_for_jsonschema(data):
    found = copy.deepcopy(data.draw(st.sampled_from(RECORDS)))
    for _ in range(data.draw(st.integers(1, 2))):
        container, key = data.draw(st.sampled_from(list(places(found))))
        if isinstance(container, dict) and data.draw(st.booleans()):
            del container[key]
        else:
            container[key] = data.draw(VALUES)
    assert bool(structure.faults(found)) == (not VALIDATOR.is_valid(found))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400, True, "1", None])
def test_a_number_is_finite(value):
    found = example_record()
    found["prefill"]["ms"] = value
    (fault,) = structure.faults(found)
    assert fault.startswith("prefill.ms: ")
    assert fault.endswith(" is no number")


def test_a_long_value_is_cut_and_control_characters_are_escaped():
    found = example_record()
    found["cell"]["dtype"] = "\x1b[31m" + "x" * 10_000
    (fault,) = structure.faults(found)
    assert len(fault) < 150
    assert "\x1b" not in fault


def test_a_checkout_without_the_schema_is_one_line(monkeypatch):
    structure._schema.cache_clear()
    monkeypatch.setattr(structure, "SCHEMA_PATH", Path("/nonexistent/record.schema.json"))
    with pytest.raises(MissingPackage, match="whole checkout"):
        structure.faults({})
