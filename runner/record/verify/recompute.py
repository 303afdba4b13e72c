"""`runner verify` of one record: checks its structure, its completeness for its cell and protocol, its consistency with
committed data, and every derived number."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner import failures, registry
from runner.cell import floors
from runner.cell.cell import Cell
from runner.cell.fieldtypes import value_or_none
from runner.cell.jsonform import name_of, present_fields, to_json
from runner.cell.protocol import Protocol
from runner.record import derive, judgement, recordsize
from runner.record import record as recordfile
from runner.record.line import place_of, short_repr
from runner.record.sections.gate import GateVersion2
from runner.record.sessionrecord import MeasuredRecord, SessionRecord
from runner.record.verify import actual, energy, gate, head, hostcondition, kernelbuild, kernelphases, passes, plausible

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RELATIVE_TOLERANCE = 1e-9
RECORD_NAME = re.compile(r"-\d+-[0-9a-f]{16}\.json")  # the end of `record.file_name`


def check_reader() -> None:
    """Raises MissingPackage if this interpreter cannot read records into their types."""
    try:
        import runner.record.read  # noqa: F401 - tests the import
    except ImportError as error:
        raise failures.missing_package(str(error.name)) from error


def read_verified(path: Path) -> SessionRecord:
    """Returns the record of a file. Raises BadRecord with the first line that `verify` prints about it."""
    record, lines = checked(recordfile.read(path))
    if record is not None and not lines:
        lines = list(name_differences(record, path))
    if record is None or lines:
        more = f" (and {len(lines) - 1} more: `runner verify` lists them)" if len(lines) > 1 else ""
        raise recordfile.damaged(str(path), f"{lines[0]}{more}")
    return record


def differences(data: Mapping[str, Any]) -> list[str]:
    """Returns one line for each field that is damaged, missing, or does not follow from the raw values."""
    return checked(data)[1]


def checked(data: Mapping[str, Any]) -> tuple[SessionRecord | None, list[str]]:
    """Returns the record, None if it is damaged, and the lines of `differences`."""
    check_reader()
    from runner.record import read

    record = read.record_or_faults(data)
    if isinstance(record, SessionRecord):
        return record, contradictions(record)
    return None, [f"damaged record: {fault}" for fault in record]


def contradictions(record: SessionRecord) -> list[str]:
    """Returns one line for each field that a record lacks, or that does not follow from its raw values."""
    if impossible := [*_unknown_words(record.cell), *_too_many_steps(record.protocol)]:
        return impossible
    lines = list(head.differences(record))
    if isinstance(record, MeasuredRecord):
        try:
            lines += _content_differences(record)
            lines += _derived_differences(record)
        except ArithmeticError as error:
            lines.append(f"its numbers cannot be derived ({type(error).__name__}: {error})")
    return lines


def name_differences(record: SessionRecord, path: Path) -> Iterator[str]:
    """Yields a line if a file has the name of another record than its content's."""
    expected = recordfile.file_name(record.cell, record.session)
    if RECORD_NAME.search(path.name) and path.name != expected:
        yield f"the file name does not match the cell and session of the content: expected {expected}"


def _unknown_words(cell: Cell) -> Iterator[str]:
    for field, word, names in (
        ("quant", cell.quant, registry.format_names()),
        ("kernel", cell.kernel, registry.kernel_names()),
        ("runtime", cell.runtime, registry.runtime_names()),
    ):
        if word not in names:
            yield f"cell.{field}: {short_repr(word)} is unknown to this version (it has {', '.join(names)})"


def _too_many_steps(counts: Protocol) -> Iterator[str]:
    """Yields a line if no record can have these steps. To look for each of them would take hours."""
    if not recordsize.is_readable(counts):
        yield f"protocol: {counts.counts}, more than a record can have"


def _content_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each field of a measured session that is missing, or that cell, protocol or committed data
    contradict."""
    yield from passes.differences(record)
    yield from gate.differences(record)
    yield from actual.differences(record)
    yield from kernelbuild.differences(record)
    yield from kernelphases.differences(record)
    yield from plausible.differences(record)
    yield from energy.differences(record)
    yield from hostcondition.differences(record)
    yield from _limit_differences(record)
    if record.keys.env_key != recordfile.env_key(record.environment):
        yield "keys.env_key: does not match the section environment"
    files = value_or_none(record.keys.code_files)
    if files is not None and list(files) != sorted(files):
        yield "keys.code_files: not sorted"


def _limit_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each limit that is missing, or looser than the committed one."""
    committed: dict[str, float] = dict(present_fields(judgement.LIMITS))
    limits: dict[str, float] = dict(present_fields(record.limits))
    for name, limit in limits.items():
        if limit > committed[name]:
            yield f"limits.{name}: {limit} stated, looser than the committed {committed[name]}"
    share = value_or_none(record.limits.disturbed_share)
    if share is not None and share < judgement.DISTURBED_SHARE:  # a lower one removes sessions from medians
        yield f"limits.disturbed_share: {share} stated, {judgement.DISTURBED_SHARE} is committed"
    if isinstance(record.gate, GateVersion2):
        # `judgement.displayed_flags` derives the flags of these for a session without them
        for name in committed.keys() - limits.keys() - {each.limit for each in judgement.AGREEMENTS.values()}:
            yield f"limits.{name}: missing"


def _derived_differences(record: MeasuredRecord) -> Iterator[str]:
    accounted = _weight_bytes(record)
    if record.bytes.weights != accounted:
        yield f"bytes.weights: {record.bytes.weights} stored, {accounted} from the shape"
    rederived = judgement.with_judgement(derive.rederived(record))
    for section, stored in present_fields(record):
        if is_dataclass(stored) and not isinstance(stored, type):
            yield from _number_differences(section, stored, getattr(rederived, section))
    for name in ("valid", "reasons", "flags"):
        stored_value, derived_value = to_json(getattr(record, name)), to_json(getattr(rederived, name))
        if stored_value != derived_value:
            yield f"{name}: {short_repr(stored_value)} stored, {short_repr(derived_value)} derived"


def _number_differences(section: str, stored: DataclassInstance, derived: DataclassInstance) -> Iterator[str]:
    for field in fields(stored):
        value: Any = value_or_none(getattr(stored, field.name))
        expected: Any = value_or_none(getattr(derived, field.name))
        place = place_of(name_of(field.name), section)
        if is_dataclass(value) and not isinstance(value, type) and type(value) is type(expected):
            yield from _number_differences(place, value, expected)
        elif not _are_equal(value, expected):
            yield f"{place}: {value} stored, {expected} derived"


def _weight_bytes(record: MeasuredRecord) -> int:
    cell = record.cell
    packed = registry.weight_format(cell.quant).DECLARATION.packed
    scheme = value_or_none(record.model.scheme) if packed else None
    return registry.weight_bytes(cell.quant, scheme, record.model.shape, floors.DTYPE_BYTES[cell.dtype])


def _are_equal(stored: object, derived: object) -> bool:
    if isinstance(stored, int | float) and isinstance(derived, int | float):
        return abs(stored - derived) <= RELATIVE_TOLERANCE * max(abs(stored), abs(derived))
    return stored == derived
