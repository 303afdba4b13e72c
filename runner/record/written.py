"""Reads a record that this project's own processes wrote into its type: names and types of its fields, no limits.

The standard library is enough for it. A record from elsewhere is read by `runner.record.read`, which checks the limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from runner.cell.jsonform import from_json, hints
from runner.errors import BadRecord
from runner.record import record
from runner.record.sections.head import MEASURED, Keys, SessionInfo
from runner.record.sessionrecord import FailedRecord, MeasuredRecord, SessionRecord

Record = TypeVar("Record", bound=SessionRecord)


def read(path: Path) -> SessionRecord:
    """Reads one record. Raises BadRecord where it cannot be read, is cut, or lacks a field."""
    return typed(record.read(path), str(path))


def read_head(path: Path) -> SessionRecord:
    """Reads what all records have, and leaves out the rest. Raises BadRecord as `read`."""
    data = record.read(path)
    kinds = {"session": SessionInfo, "keys": Keys}
    sections = {name: _part(kind, data[name]) for name, kind in kinds.items()}
    return _built(SessionRecord, {**_part(SessionRecord, data), **sections}, str(path))


def _part(kind: type, data: Any) -> Any:
    """Returns the fields of a section that this kind of it has."""
    return {name: data[name] for name in hints(kind) if name in data} if isinstance(data, Mapping) else data


def typed(data: Mapping[str, Any], name: str) -> SessionRecord:
    """Returns the record of a mapping. Raises BadRecord, naming `name`, where a field is missing, unknown or of another
    type."""
    is_measured = data["outcome"]["status"] == MEASURED
    return _built(MeasuredRecord if is_measured else FailedRecord, data, name)


def _built(kind: type[Record], data: Mapping[str, Any], name: str) -> Record:
    try:
        return from_json(kind, data)
    except ValueError as error:
        raise BadRecord(f"{name}: damaged record: {error}") from error
