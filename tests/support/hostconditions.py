"""Sessions under a declared condition of the host: example records, as the worker makes them."""

from __future__ import annotations

from typing import Any

from runner.cell.jsonform import to_json
from runner.hostcondition.condition import PINNED
from runner.plan import fieldvalues
from runner.record.sections.surroundings import HostConditions
from tests.support.derive import judge
from tests.support.records import example_record


def conditioned(declared: str, found: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns a measured record (default: the example) as one under this condition."""
    record = example_record() if found is None else found
    condition = fieldvalues.host_condition(declared)
    assert condition is not None
    cores = record["host"]["cores"]
    used = condition.count if condition.kind == PINNED else cores
    neighbour_cores = float(min(condition.neighbours, cores)) if condition.neighbours else None
    section = HostConditions(declared, cores, used, condition.neighbours, neighbour_cores)
    record["request"]["host_condition"], record["host_condition"] = declared, to_json(section)
    record["host"]["cores"] = used
    judge(record)
    return record


def pinned() -> dict[str, Any]:
    return conditioned("pinned:1")


def busy() -> dict[str, Any]:
    return conditioned("busy:8")
