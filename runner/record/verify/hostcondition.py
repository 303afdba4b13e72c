"""Checks the declared condition of the host: the one requested, and really so."""

from __future__ import annotations

from collections.abc import Iterator

from runner.cell.fieldtypes import value_or_none
from runner.cell.vocabulary import AUTO
from runner.errors import BadValue
from runner.hostcondition.condition import FIELD, PINNED, HostCondition
from runner.plan import fieldvalues
from runner.record.line import too_large, unequal
from runner.record.sections.surroundings import HostConditions
from runner.record.sessionrecord import MeasuredRecord

APPLYING = "hostcondition/applying.py"
"""The module that brings a condition about. A session on the host as it is does not load it."""
SLACK = 1.05
"""A neighbour's processor time is counted in ticks, at other moments than the clock."""


def differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each figure of the host's condition that contradicts the request or the rest of the record."""
    try:
        requested = fieldvalues.host_condition(record.request.get(FIELD, AUTO))
    except BadValue:
        return  # `verify.request` names it, also in a record without a measurement
    found = record.host_condition
    yield from _code_differences(record)
    if bool(found) != (requested is not None):
        yield f"host_condition: {'present, but not' if found else 'missing, but'} requested"
    elif found and requested is not None:
        yield from _section_differences(record, found, requested)


def _code_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line if the session's code contradicts its condition; nothing of an older record without its files."""
    files = value_or_none(record.keys.code_files)
    if files is not None and (APPLYING in files) != bool(record.host_condition):
        brought, section = ("with", "without") if APPLYING in files else ("without", "with")
        yield f"keys.code_files: {brought} {APPLYING}, which brings a condition about, {section} host_condition"


def _section_differences(record: MeasuredRecord, found: HostConditions, requested: HostCondition) -> Iterator[str]:
    of_request = f"that of {requested.text}"
    cores = requested.count if requested.kind == PINNED else found.allowed_cores
    yield from unequal("host_condition.declared", found.declared, "request.host_condition", requested.text)
    yield from unequal("host_condition.cores", found.cores, of_request, cores)
    yield from unequal("host_condition.cores", found.cores, "host.cores", record.host.cores)
    yield from too_large("host_condition.cores", found.cores, found.allowed_cores, "allowed_cores")
    yield from unequal("host_condition.neighbours", found.neighbours, of_request, requested.neighbours)
    used = found.neighbour_cores
    if used is not None and not found.neighbours:
        yield "host_condition.neighbour_cores: present, but there were no neighbours"
    if used == 0 and found.neighbours:
        yield "host_condition.neighbour_cores: 0, but neighbours that compute take processor time"
    most = min(found.neighbours, found.allowed_cores)
    yield from too_large("host_condition.neighbour_cores", used, SLACK * most, "neighbours and processors allow")
