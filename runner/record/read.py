"""Reads a record into its type and checks every limit.

This is the only module that needs pydantic, and it is never imported at the top of another module. Without pydantic,
`record.read` checks a record's schema_version, its outcome, and the presence of its sections.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails

from runner.cell.jsonform import hints, name_of
from runner.record import record, schema
from runner.record.line import place_of, short_repr
from runner.record.sections.energy import Energy
from runner.record.sections.gate import GateVersion1, GateVersion2
from runner.record.sections.head import MeasuredKeys, MeasuredSession
from runner.record.sessionrecord import FailedRecord, MeasuredRecord, SessionRecord

# the sections have no configuration of their own and inherit this one
with_config(ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, alias_generator=name_of))(SessionRecord)
MEASURED: TypeAdapter[MeasuredRecord] = TypeAdapter(MeasuredRecord)
FAILED: TypeAdapter[FailedRecord] = TypeAdapter(FailedRecord)
Location: TypeAlias = tuple[int | str, ...]

UNIONS: tuple[Location, ...] = (("gate",), ("passes", "wall"), ("energy",))
"""Places of the sections that pydantic reads as a union."""
MISSING, UNKNOWN = "missing", "unexpected_keyword_argument"
MEASURED_PLACES = {
    *record.MEASURED_ONLY,
    *(f"keys.{name}" for name in hints(MeasuredKeys)),
    *(f"session.{name}" for name in hints(MeasuredSession)),
}
"""Places of the fields that only a measured session has."""
OWNERS = {
    **{f"gate.{name}": "version 1 of the gate" for name in hints(GateVersion1)},
    **{f"gate.{name}": "version 2 of the gate" for name in hints(GateVersion2).keys() - hints(GateVersion1).keys()},
    "passes.wall.steps_ms": "a pass with a single window",
    **{f"energy.{name}": "energy that was measured" for name in hints(Energy)},
}
"""Place of a field → the only kind of section that has it."""
TYPE_ERRORS = {
    *("dataclass_type", "dict_type", "tuple_type", "string_type"),
    *("bool_type", "int_type", "float_type", "finite_number"),
}
"""Pydantic's errors for a value of the wrong type."""


def from_file(path: Path) -> SessionRecord:
    """Reads a record. Raises BadRecord if it cannot be read, is truncated, or does not match its type."""
    return from_json(record.read(path), str(path))


def from_json(data: Mapping[str, Any], name: str) -> SessionRecord:
    """Returns the record of a mapping. Raises BadRecord that names `name` if it does not match its type."""
    result = record_or_faults(data)
    if isinstance(result, SessionRecord):
        return result
    more = f" (and {len(result) - 1} more)" if len(result) > 1 else ""
    raise record.damaged(name, f"damaged record: {result[0]}{more}")


def faults(data: Mapping[str, Any]) -> list[str]:
    """Returns one line for each place where a record does not match its type, but only the first place of an array."""
    result = record_or_faults(data)
    return [] if isinstance(result, SessionRecord) else result


def record_or_faults(data: Mapping[str, Any]) -> SessionRecord | list[str]:
    """Returns the record of a mapping, or one line for each place where it does not match its type.

    Pydantic validates JSON text here: in Python values it would reject lists where the type is a tuple.
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
    faults = [(_place(details["loc"]), details) for details in _first_of_arrays(error)]
    measured = [place for place, details in faults if details["type"] == UNKNOWN and place in MEASURED_PLACES]
    if measured:
        names = ", ".join([place for place in measured if place in record.MEASURED_ONLY] or measured)
        yield f"outcome.status: {data['outcome']['status']}, though the record has a measurement ({names})"
    for place, details in faults:
        if place not in measured:
            yield f"{place or 'the record'}{_problem(details, OWNERS.get(place))}"


def _first_of_arrays(error: ValidationError) -> Iterator[ErrorDetails]:
    """Yields each error, but only the first one of an array."""
    arrays = set()
    for details in filter(_is_independent, map(_with_record_place, error.errors(include_url=False))):
        index = next((at for at, part in enumerate(details["loc"]) if isinstance(part, int)), None)
        array = None if index is None else details["loc"][:index]
        if array is None or array not in arrays:
            arrays.add(array)
            yield details


def _with_record_place(error: ErrorDetails) -> ErrorDetails:
    """Returns an error with its place in the record, without the kind that pydantic adds for a union."""
    place = error["loc"]
    depth = next((len(union) for union in UNIONS if place[: len(union)] == union), None)
    return error if depth is None else {**error, "loc": (*place[:depth], *place[depth + 1 :])}


def _is_independent(error: ErrorDetails) -> bool:
    """Returns whether the error does not follow from another one. Pydantic does not count invalid items, so it may call
    a series with invalid items too short."""
    return error["type"] != "too_short" or len(error["input"]) < error["ctx"]["min_length"]


def _place(parts: Location) -> str:
    """Returns the place of a field as text."""
    place = ""
    for part in parts:
        place = f"{place}[{part}]" if isinstance(part, int) else place_of(part, place)
    return place


def _problem(error: ErrorDetails, owner: str | None) -> str:
    kind, value, limits = error["type"], error["input"], error.get("ctx", {})
    if kind == MISSING:
        return " is missing"
    if kind == UNKNOWN:
        return f": only {owner} has it" if owner else ": a record has no such field"
    if kind in TYPE_ERRORS:
        return f": {short_repr(value)} is not of type {_type_name(error['loc'])}"
    return f": {_limit(kind, value, limits)}"


def _type_name(parts: Location) -> str:
    """Returns the JSON types of a field, joined by `or`."""
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
            return f"{short_repr(value)} is below {limits['ge']:g}"
        case "greater_than":
            return f"{short_repr(value)} is not above {limits['gt']:g}"
        case "less_than_equal":
            return f"{short_repr(value)} is too large a number"
        case "literal_error":
            words = limits["expected"].replace("'", "").replace(", ", " or ")
            return f"{short_repr(value)} is not {words}"
        case "string_pattern_mismatch":
            return f"{short_repr(value)} does not match {limits['pattern']}"
        case "too_short":
            return f"{limits['actual_length']} items, expected at least {limits['min_length']}"
        case "value_error":
            return f"{short_repr(value)} {limits['error']}"
        case "json_invalid":  # nested too deeply, or with half a surrogate pair; json.loads accepts both
            return f"cannot be read as JSON: {limits['error']}"
    return f"{short_repr(value)} cannot be read ({kind})"
