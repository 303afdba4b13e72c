"""`runner verify`: derive every number of a record again from its raw steps and bytes, and say what differs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from runner import judgement, metrics, record, registry
from runner.cell import Cell
from runner.floors import DTYPE_BYTES
from runner.shape import ModelShape

RELATIVE_TOLERANCE = 1e-9


def differences(found: dict[str, Any]) -> list[str]:
    """One line for each stored value that does not follow from the raw values; empty when all do."""
    lines = [] if Cell.from_json(found["cell"]).key == found["keys"]["cell_key"] else ["keys.cell_key: not this cell's"]
    if record.is_measured(found):
        lines += _measured_differences(found)
    return lines


def _measured_differences(found: dict[str, Any]) -> Iterator[str]:
    again = copy.deepcopy(found)
    accounted = _weight_bytes(found)
    if found["bytes"]["weights"] != accounted:
        yield f"bytes.weights: {found['bytes']['weights']} stored, {accounted} from the shape"
    yield from _sample_differences(found)
    metrics.derive(again)
    for metric, _ in metrics.derived():
        stored, derived = metrics.lookup(found, metric.path), metrics.lookup(again, metric.path)
        if not _same(stored, derived):
            yield f"{metric.path}: {stored} stored, {derived} derived"
    judgement.judge(again)
    for name in ("valid", "reasons", "flags"):
        if found[name] != again[name]:
            yield f"{name}: {found[name]} stored, {again[name]} derived"


def _sample_differences(found: dict[str, Any]) -> Iterator[str]:
    steps = found["protocol"]["steps"]
    for name in ("wall", "span", "busy"):
        series = metrics.lookup(found, f"passes.{name}.steps_ms")
        if series is not None and len(series) != steps:
            yield f"passes.{name}.steps_ms: {len(series)} steps, the protocol says {steps}"


def _weight_bytes(found: dict[str, Any]) -> int:
    shape = ModelShape.from_json(found["model"]["shape"])
    return registry.weight_format(found["cell"]["quant"]).weight_bytes(shape, DTYPE_BYTES[found["cell"]["dtype"]])


def _same(stored: Any, derived: Any) -> bool:
    if stored is None or derived is None:
        return stored is derived
    return bool(abs(stored - derived) <= RELATIVE_TOLERANCE * max(abs(stored), abs(derived)))
