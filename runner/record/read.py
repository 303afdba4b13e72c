"""Reads a record into its type.

The only module that needs pydantic, and no import of the runner imports it. Where pydantic is missing, `record.read`
checks a record's schema_version, its outcome, and which sections it has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails

from runner.cell.jsonform import hints, name_of
from runner.errors import BadRecord
from runner.record import record
from runner.record.sections.gate import GateVersion1, GateVersion2
from runner.record.sections.head import MeasuredKeys, MeasuredSession
from runner.record.sessionrecord import FailedRecord, MeasuredRecord, SessionRecord
from runner.record.structure import below, shown

# the sections have no configuration of their own and take the record's
with_config(ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, alias_generator=name_of))(SessionRecord)
MEASURED: TypeAdapter[MeasuredRecord] = TypeAdapter(MeasuredRecord)
FAILED: TypeAdapter[FailedRecord] = TypeAdapter(FailedRecord)
MISSING, UNKNOWN = "missing", "unexpected_keyword_argument"
OF_MEASURED = {
    *(hints(MeasuredRecord).keys() - hints(SessionRecord).keys()),
    *(f"keys.{name}" for name in hints(MeasuredKeys)),
    *(f"session.{name}" for name in hints(MeasuredSession)),
}
OWNERS = {
    **dict.fromkeys(OF_MEASURED, "a measured session"),
    **{f"gate.{name}": "version 1 of the gate" for name in hints(GateVersion1)},
    **{f"gate.{name}": "version 2 of the gate" for name in hints(GateVersion2).keys() - hints(GateVersion1).keys()},
}
"""Place → the kind that has such a field, where another has none."""
WORDS = {
    "dataclass_type": "object",
    "dict_type": "object",
    "tuple_type": "array",
    "string_type": "string",
    "bool_type": "boolean",
    "int_type": "integer",
    "float_type": "number",
    "finite_number": "number",
}
"""Pydantic's error → JSON's word for the type that belongs there."""


def from_file(path: Path) -> SessionRecord:
    """Reads one record. Raises BadRecord where it cannot be read, is cut, or is not what its type says."""
    return from_json(record.read(path), str(path))


def from_json(data: Mapping[str, Any], name: str) -> SessionRecord:
    """Returns the record of a mapping. Raises BadRecord, naming `name`, where it is not what its type says."""
    try:
        return _checked(data)
    except ValidationError as error:
        first, *others = _lines(error, data)
        more = f" (and {len(others)} more)" if others else ""
        raise BadRecord(f"{name}: damaged record: {first}{more}") from error


def faults(data: Mapping[str, Any]) -> list[str]:
    """Returns one line for each place where a record is not what its type says; of an array only the first one."""
    try:
        _checked(data)
    except ValidationError as error:
        return list(_lines(error, data))
    return []


def _checked(data: Mapping[str, Any]) -> SessionRecord:
    """The mapping is read as text, where an array is an array: as values of Python, pydantic wants tuples."""
    outcome = data.get("outcome")
    status = outcome.get("status") if isinstance(outcome, Mapping) else None
    is_failed = status in record.STATUSES and status != record.MEASURED
    text = json.dumps(data)
    return FAILED.validate_json(text) if is_failed else MEASURED.validate_json(text)


def _lines(error: ValidationError, data: Mapping[str, Any]) -> Iterator[str]:
    seen = set()
    for each in filter(_is_own, error.errors(include_url=False)):
        index = next((at for at, part in enumerate(each["loc"]) if isinstance(part, int)), None)
        array = None if index is None else each["loc"][:index]
        if array is None or array not in seen:
            seen.add(array)
            place = _place(each, data)
            yield f"{place or 'the record'}{_said(each, OWNERS.get(place))}"


def _is_own(error: ErrorDetails) -> bool:
    """False for a series that is short only since pydantic counts no item that is itself at fault."""
    return error["type"] != "too_short" or len(error["input"]) < error["ctx"]["min_length"]


def _place(error: ErrorDetails, data: Any) -> str:
    """Returns the place in the record; the kind of a section, which pydantic names besides, is none."""
    place = ""
    for part in error["loc"]:
        if isinstance(part, int):
            place, data = f"{place}[{part}]", data[part]
        elif part in data:
            place, data = below(place, part), data[part]
        elif error["type"] == MISSING and part == error["loc"][-1]:
            place = below(place, part)
    return place


def _said(error: ErrorDetails, owner: str | None) -> str:
    kind, value, limits = error["type"], error["input"], error.get("ctx", {})
    if kind == MISSING:
        return " is missing"
    if kind == UNKNOWN:
        return f": only {owner} has it" if owner else ": a record has no such field"
    if kind in WORDS:
        return f": {shown(value)} is no {WORDS[kind]}"
    return f": {_limit(kind, value, limits)}"


def _limit(kind: str, value: Any, limits: Mapping[str, Any]) -> str:
    match kind:
        case "greater_than_equal":
            return f"{shown(value)} is below {limits['ge']:g}"
        case "greater_than":
            return f"{shown(value)} is not above {limits['gt']:g}"
        case "less_than_equal":
            return f"{shown(value)} is too large a number"
        case "literal_error":
            words = limits["expected"].replace("'", "").replace(", ", " or ")
            return f"{shown(value)} is not {words}"
        case "string_pattern_mismatch":
            return f"{shown(value)} does not match {limits['pattern']}"
        case "too_short":
            return f"{limits['actual_length']} items, at least {limits['min_length']} belong there"
        case "value_error":
            return f"{shown(value)} {limits['error']}"
    return f"{shown(value)} cannot be read ({kind})"
