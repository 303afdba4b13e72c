"""docs/record.schema.json is what the types of a record say."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import pytest

from runner.cell.fieldtypes import ABSENT, Count, Limit, OneOf, OrAbsent, WithOrWithout
from runner.record import schema
from runner.record.sessionrecord import FailedRecord, MeasuredRecord

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.medium
def test_the_committed_file_is_what_the_command_prints() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "runner.record.schema"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    committed = (ROOT / "docs" / "record.schema.json").read_text(encoding="utf-8")
    assert made.stdout == committed, "run: python -m runner.record.schema > docs/record.schema.json"


def sections(hint: Any) -> set[type]:
    """Every dataclass in a type."""
    if isinstance(hint, type) and is_dataclass(hint):
        inner = set().union(*(sections(each) for each in schema.hints(hint).values()))
        return {hint, *inner}
    return set().union(*(sections(each) for each in get_args(hint)), set())


SECTIONS = sorted(sections(MeasuredRecord) | sections(FailedRecord), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", SECTIONS)
def test_every_section_and_every_field_is_described(kind: type) -> None:
    assert len(SECTIONS) > 30
    described = schema._object(kind)
    assert described["description"]
    assert [name for name, made in described["properties"].items() if not made.get("description")] == []


@pytest.mark.parametrize("kind", SECTIONS)
def test_only_what_may_be_absent_is_absent_unless_it_is_said(kind: type) -> None:
    for field in fields(kind):
        assert (field.default is ABSENT) == schema._may_be_absent(schema.hints(kind)[field.name]), field.name


@dataclass(frozen=True, kw_only=True)
class Common:
    """A section. Of two kinds."""

    count: Count
    """how many"""
    word: Annotated[str, OneOf(("a", "b"))] | None
    """one of
    two"""
    missing: OrAbsent[tuple[float, ...] | None] = ABSENT


@dataclass(frozen=True, kw_only=True)
class First(Common):
    old: bool


@dataclass(frozen=True, kw_only=True)
class Second(Common):
    count: Annotated[int, Limit("minimum", "ge", 0), Limit("maximum", "le", 9)]
    import_: dict[str, Any]
    """a word of Python"""


@dataclass(frozen=True)
class Whole:
    """All of it."""

    section: Annotated[First | Second, WithOrWithout("import", Common, Second, First)]


def test_a_section_of_two_kinds_has_the_fields_of_both_and_asks_for_those_of_the_kind() -> None:
    assert schema._object(Whole)["properties"]["section"] == {
        "type": "object",
        "description": "A section. Of two kinds",
        "properties": {
            "count": {"type": "integer", "description": "how many", "minimum": 0},
            "word": {"type": ["string", "null"], "description": "one of two", "enum": ["a", "b", None]},
            "missing": {"type": ["array", "null"], "items": {"type": "number"}},
            "import": {"type": "object", "description": "a word of Python"},
            "old": {"type": "boolean"},
        },
        "required": ["count", "word"],
        "additionalProperties": False,
        "if": {"required": ["import"]},
        "then": {"required": ["import"], "properties": {"count": {"maximum": 9}}},
        "else": {"required": ["old"]},
    }


@pytest.mark.medium
def test_the_file_is_laid_out_a_field_a_line() -> None:
    lines = schema.text().splitlines()
    assert json.loads(schema.text()) == schema.schema()
    assert any(line.strip().startswith('"ctx": {"type": "integer"') and line.endswith("},") for line in lines)
