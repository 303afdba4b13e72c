"""Reads a record that this project's own processes wrote: checks names and types of its fields, but no limits.

This module needs the standard library alone. `runner.record.read` reads records from elsewhere and checks the limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from runner.cell.jsonform import from_json, hints
from runner.record import record
from runner.record.sections.head import MEASURED, Keys, SessionInfo
from runner.record.sessionrecord import FailedRecord, MeasuredRecord, SessionRecord

T = TypeVar("T")


def read(path: Path) -> SessionRecord:
    """Reads a record. Raises BadRecord if it cannot be read, is truncated, or lacks a field."""
    return typed(record.read(path), str(path))


def read_head(path: Path) -> SessionRecord:
    """Reads only the fields that all records have. Raises BadRecord as `read` does."""
    return head(record.read(path), str(path))


def head(data: Mapping[str, Any], name: str) -> SessionRecord:
    """Returns only the fields that all records have. Raises BadRecord as `typed` does."""
    kinds = {"session": SessionInfo, "keys": Keys}
    sections = {section: _fields_of(kind, data[section]) for section, kind in kinds.items()}
    return _built(SessionRecord, {**_fields_of(SessionRecord, data), **sections}, name)


def part(kind: type[T], data: Mapping[str, Any], name: str) -> T:
    """Returns the sections that are fields of the dataclass `kind`. Raises BadRecord as `typed` does."""
    return _built(kind, _fields_of(kind, data), name)


def _fields_of(kind: type, data: Any) -> Any:
    """Returns the part of a JSON object that are fields of the dataclass `kind`."""
    return {name: data[name] for name in hints(kind) if name in data} if isinstance(data, Mapping) else data


def typed(data: Mapping[str, Any], name: str) -> SessionRecord:
    """Returns the record of a mapping. Raises BadRecord that names `name` if a field is missing, unknown or of another
    type."""
    is_measured = data["outcome"]["status"] == MEASURED
    return _built(MeasuredRecord if is_measured else FailedRecord, data, name)


def _built(kind: type[T], data: Mapping[str, Any], name: str) -> T:
    try:
        return from_json(kind, data)
    except ValueError as error:
        raise record.damaged(name, f"damaged record: {error}") from error
