"""`runner verify` of one record: its structure is the schema's, it has all that its cell and protocol dictate, it fits
what is committed beside it, and every number in it follows again from its raw steps and bytes."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runner import registry
from runner.cell import floors
from runner.cell.shape import ModelShape
from runner.errors import BadRecord
from runner.record import gaterules, judgement, metrics, record
from runner.record.structure import faults, shown
from runner.record.verify import actual, gate, head, passes, plausible

RELATIVE_TOLERANCE = 1e-9
RECORD_NAME = re.compile(r"-\d+-[0-9a-f]{16}\.json")  # how `record.file_name` ends

Record = Mapping[str, Any]


def read_verified(path: Path) -> dict[str, Any]:
    """The record of a file in which `verify` finds nothing wrong. Raises BadRecord with the first thing it finds."""
    found = record.read(path)
    lines = differences(found) or list(name_differences(found, path))
    if lines:
        more = f" (and {len(lines) - 1} more: `runner verify` lists them)" if len(lines) > 1 else ""
        raise BadRecord(f"{path}: {lines[0]}{more}")
    return found


def differences(found: dict[str, Any]) -> list[str]:
    """One line for each thing that is damaged, missing, or does not follow from the raw values; empty for none."""
    if damage := faults(found):
        return [f"damaged record: {fault}" for fault in damage]
    if unknown := list(_unknown_words(found["cell"])):
        return unknown
    lines = list(head.differences(found))
    if record.is_measured(found):
        try:
            lines += _content_differences(found)
            lines += _derived_differences(found)
        except ArithmeticError as error:
            lines.append(f"its numbers cannot be derived ({type(error).__name__}: {error})")
    return lines


def name_differences(found: Record, path: Path) -> Iterator[str]:
    """Yields a line if a file has a record's name, and that of another cell or session than its content's."""
    expected = record.file_name(found)
    if RECORD_NAME.search(path.name) and path.name != expected:
        yield f"its name says another cell or session than its content, which is {expected}"


def _unknown_words(cell: Record) -> Iterator[str]:
    built = {
        "quant": registry.format_names(),
        "kernel": registry.kernel_names(),
        "runtime": registry.runtime_names(),
    }
    for field, names in built.items():
        if cell[field] not in names:
            yield f"cell.{field}: {shown(cell[field])} is unknown to this version (it has {', '.join(names)})"


def _content_differences(found: Record) -> Iterator[str]:
    """Yields what a measured session of this cell and protocol lacks, or states wrongly about itself."""
    yield from passes.differences(found)
    yield from gate.differences(found)
    yield from actual.differences(found)
    yield from plausible.differences(found)
    yield from _limit_differences(found)
    if found["keys"]["env_key"] != record.env_key(found["environment"]):
        yield "keys.env_key: not this environment's"


def _limit_differences(found: Record) -> Iterator[str]:
    """A session is judged by no looser limits than the committed ones."""
    for name, stated in found["limits"].items():
        if stated > judgement.LIMITS[name]:
            yield f"limits.{name}: {stated} stated, looser than {judgement.LIMITS[name]}"
    share = found["limits"].get("disturbed_share")
    if share is not None and share < judgement.DISTURBED_SHARE:  # a lower one takes sessions out of medians
        yield f"limits.disturbed_share: {share} stated, {judgement.DISTURBED_SHARE} is committed"
    if gaterules.version(found["gate"]) == gaterules.VERSION:
        # `judgement.marks` derives passes-disagree of a session that states no limit to it
        for name in judgement.LIMITS.keys() - found["limits"].keys() - {"passes_disagreement"}:
            yield f"limits.{name}: missing"


def _derived_differences(found: dict[str, Any]) -> Iterator[str]:
    again = copy.deepcopy(found)
    accounted = _weight_bytes(found)
    if found["bytes"]["weights"] != accounted:
        yield f"bytes.weights: {found['bytes']['weights']} stored, {accounted} from the shape"
    metrics.derive(again)
    for metric, _ in metrics.derived():
        stored, derived = metrics.lookup(found, metric.path), metrics.lookup(again, metric.path)
        if not _same(stored, derived):
            yield f"{metric.path}: {stored} stored, {derived} derived"
    judgement.judge(again)
    for name in ("valid", "reasons", "flags"):
        if found[name] != again[name]:
            yield f"{name}: {shown(found[name])} stored, {shown(again[name])} derived"


def _weight_bytes(found: Record) -> int:
    cell, shape = found["cell"], ModelShape.from_json(found["model"]["shape"])
    packed = registry.weight_format(cell["quant"]).DECLARATION.packed
    scheme = head.scheme_of(found) if packed else None
    return registry.weight_bytes(cell["quant"], scheme, shape, floors.DTYPE_BYTES[cell["dtype"]])


def _same(stored: Any, derived: Any) -> bool:
    if stored is None or derived is None:
        return stored is derived
    return bool(abs(stored - derived) <= RELATIVE_TOLERANCE * max(abs(stored), abs(derived)))
