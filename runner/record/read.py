"""Reads a record into its type.

The only module that needs pydantic, and no import of the runner imports it. Where pydantic is missing, `record.read`
checks a record's schema_version, its outcome, and which sections it has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails

from runner.cell.jsonform import hints, name_of
from runner.errors import BadRecord
from runner.record import record, schema
from runner.record.line import place_of, shown
from runner.record.sections.gate import GateVersion1, GateVersion2
from runner.record.sections.head import MeasuredKeys, MeasuredSession
from runner.record.sessionrecord import FailedRecord, MeasuredRecord, SessionRecord

# the sections have no configuration of their own and take the record's
with_config(ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, alias_generator=name_of))(SessionRecord)
MEASURED: TypeAdapter[MeasuredRecord] = TypeAdapter(MeasuredRecord)
FAILED: TypeAdapter[FailedRecord] = TypeAdapter(FailedRecord)
Location: TypeAlias = tuple[int | str, ...]

OF_TWO_KINDS = ("gate",)
"""The sections that pydantic reads as a union."""
MISSING, UNKNOWN = "missing", "unexpected_keyword_argument"
OF_MEASURED = {
    *record.MEASURED_ONLY,
    *(f"keys.{name}" for name in hints(MeasuredKeys)),
    *(f"session.{name}" for name in hints(MeasuredSession)),
}
"""Places of the fields that a session has only where it was measured."""
OWNERS = {
    **{f"gate.{name}": "version 1 of the gate" for name in hints(GateVersion1)},
    **{f"gate.{name}": "version 2 of the gate" for name in hints(GateVersion2).keys() - hints(GateVersion1).keys()},
}
"""Place → the kind that has such a field, where another has none."""
OF_ANOTHER_TYPE = {
    *("dataclass_type", "dict_type", "tuple_type", "string_type"),
    *("bool_type", "int_type", "float_type", "finite_number"),
}
"""Pydantic's errors of a value whose type is another than the field's."""


def from_file(path: Path) -> SessionRecord:
    """Reads one record. Raises BadRecord where it cannot be read, is cut, or is not what its type says."""
    return from_json(record.read(path), str(path))


def from_json(data: Mapping[str, Any], name: str) -> SessionRecord:
    """Returns the record of a mapping. Raises BadRecord, naming `name`, where it is not what its type says."""
    result = record_or_faults(data)
    if isinstance(result, SessionRecord):
        return result
    more = f" (and {len(result) - 1} more)" if len(result) > 1 else ""
    raise BadRecord(f"{name}: damaged record: {result[0]}{more}")


def faults(data: Mapping[str, Any]) -> list[str]:
    """Returns one line for each place where a record is not what its type says; of an array only the first one."""
    result = record_or_faults(data)
    return [] if isinstance(result, SessionRecord) else result


def record_or_faults(data: Mapping[str, Any]) -> SessionRecord | list[str]:
    """Returns the record of a mapping, or one line for each place where it is not what its type says.

    The mapping is read as text, where an array is an array: as values of Python, pydantic wants tuples.
    """
    text = json.dumps(data)
    try:
        return FAILED.validate_json(text) if _is_failed(data) else MEASURED.validate_json(text)
    except ValidationError as error:
        return list(_lines(error, data))


def _is_failed(data: Mapping[str, Any]) -> bool:
    outcome = data.get("outcome")
    status = outcome.get("status") if isinstance(outcome, Mapping) else None
    return status in record.STATUSES and status != record.MEASURED


def _lines(error: ValidationError, data: Mapping[str, Any]) -> Iterator[str]:
    faults = [(_place(each["loc"]), each) for each in _first_of_arrays(error)]
    measured = [place for place, each in faults if each["type"] == UNKNOWN and place in OF_MEASURED]
    if measured:
        names = ", ".join([place for place in measured if place in record.MEASURED_ONLY] or measured)
        yield f"outcome.status: {data['outcome']['status']}, though the record holds a measurement ({names})"
    for place, each in faults:
        if place not in measured:
            yield f"{place or 'the record'}{_said(each, OWNERS.get(place))}"


def _first_of_arrays(error: ValidationError) -> Iterator[ErrorDetails]:
    """Yields each error, but in an array only the first one."""
    arrays = set()
    for each in filter(_is_own, map(_located, error.errors(include_url=False))):
        index = next((at for at, part in enumerate(each["loc"]) if isinstance(part, int)), None)
        array = None if index is None else each["loc"][:index]
        if array is None or array not in arrays:
            arrays.add(array)
            yield each


def _located(error: ErrorDetails) -> ErrorDetails:
    """Returns an error with its place in the record alone: pydantic names the kind of a section besides."""
    section, *inner = error["loc"] or ("",)
    return {**error, "loc": (section, *inner[1:])} if section in OF_TWO_KINDS else error


def _is_own(error: ErrorDetails) -> bool:
    """False for a series that is short only since pydantic counts no item that is itself at fault."""
    return error["type"] != "too_short" or len(error["input"]) < error["ctx"]["min_length"]


def _place(parts: Location) -> str:
    """Returns the place of a field for a line of text."""
    place = ""
    for part in parts:
        place = f"{place}[{part}]" if isinstance(part, int) else place_of(part, place)
    return place


def _said(error: ErrorDetails, owner: str | None) -> str:
    kind, value, limits = error["type"], error["input"], error.get("ctx", {})
    if kind == MISSING:
        return " is missing"
    if kind == UNKNOWN:
        return f": only {owner} has it" if owner else ": a record has no such field"
    if kind in OF_ANOTHER_TYPE:
        return f": {shown(value)} is no {_type_of(error['loc'])}"
    return f": {_limit(kind, value, limits)}"


def _type_of(parts: Location) -> str:
    """Returns JSON's words for the types that a field may have."""
    field = schema.schema()
    for part in parts:
        if isinstance(part, int):
            field = field["items"]
        else:
            field = field.get("properties", {}).get(part) or field["additionalProperties"]
    types = field["type"]
    return types if isinstance(types, str) else " or ".join(types)


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
        case "json_invalid":  # as deep as json.loads takes it, or with half a character
            return f"cannot be read as JSON: {limits['error']}"
    return f"{shown(value)} cannot be read ({kind})"
