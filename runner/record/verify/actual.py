"""The section `actual`: it is the cell's, and the profile's table of kernels bears it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner import registry
from runner.cell import attention
from runner.cell.fieldtypes import ABSENT
from runner.cell.vocabulary import CUDA
from runner.record.line import shown, unequal
from runner.record.sections.passes import KernelTime
from runner.record.sessionrecord import MeasuredRecord
from runner.record.verify import older
from runner.record.verify.passes import COUNT_ROUNDING, OTHERS, device_kind, is_complete

CUT_NAME_LENGTH = 100  # no worker cut a kernel's name to less
SDPA = "sdpa"
LAUNCHES = {"none": (0, 0), "whole-step": (1, 1), "partial": (1e-9, float("inf"))}
"""Graph mode → the least and the most launches of CUDA graphs in a step."""


def differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each part of `actual` that is not the cell's, or that the profile contradicts."""
    cell, actual = record.cell, record.actual
    for field in ("runtime", "kernel", "cache"):
        yield from unequal(f"actual.{field}", getattr(actual, field), f"cell.{field}", getattr(cell, field))
    yield from _attention_differences(record)
    mode = registry.runtime(cell.runtime).DECLARATION.graph_mode_with(cell.options)
    yield from unequal("actual.graph_mode", actual.graph_mode, f"that of {cell.runtime}", mode)
    yield from _launch_differences(record, mode)
    signatures = registry.kernel(cell.kernel).DECLARATION.signatures
    if not any(_bears(name, signatures) for name in actual.kernel_names):
        yield f"actual.kernel_names: {shown(list(actual.kernel_names))}, none of them is {cell.kernel}'s"
    yield from _product_differences(record, signatures)


def _attention_differences(record: MeasuredRecord) -> Iterator[str]:
    backend, wanted = record.actual.attention_backend, record.cell.options.get(SDPA)
    if backend not in attention.BACKENDS:
        yield f"actual.attention_backend: {shown(backend)} is none of {', '.join(attention.BACKENDS)}"
        return
    if wanted is not None:
        yield from unequal("actual.attention_backend", backend, "the option sdpa", wanted)
    if device_kind(record.cell) == CUDA:
        yield from _seen_differences(record.kernels, backend)


def _seen_differences(rows: Sequence[KernelTime], backend: str) -> Iterator[str]:
    """The table of kernels betrays the same backend, unless the rows that it sums up may hide it."""
    names = [row.name for row in rows]
    seen = attention.backend_of(names)
    hides = OTHERS in names and attention.BACKENDS.index(backend) < attention.BACKENDS.index(seen)
    if seen != backend and not hides:
        yield f"actual.attention_backend: {backend}, but the table of kernels shows {seen}"


def _launch_differences(record: MeasuredRecord, mode: str) -> Iterator[str]:
    launches = record.actual.graph_launches_per_step
    if launches is ABSENT:
        if record.keys.code_key not in older.without_counts():
            yield "actual.graph_launches_per_step: missing"
        return
    least, most = LAUNCHES[mode]
    if not least <= launches <= most:
        yield f"actual.graph_launches_per_step: {launches:g}, though the graph mode of this runtime is {mode}"


def _product_differences(record: MeasuredRecord, signatures: tuple[str, ...]) -> Iterator[str]:
    """Yields a line if a step launched fewer of the kernel's products than declared, or the table of kernels shows
    another number."""
    count = record.actual.products_per_step
    if count is ABSENT:
        if record.keys.code_key not in older.without_counts():
            yield "actual.products_per_step: missing"
        return
    expected = registry.least_launches(record.cell, record.model.shape)
    if count < expected:
        yield f"actual.products_per_step: {count:g}, the layers have {expected} at least"
    if is_complete(record.kernels):
        yield from _table_differences(record.kernels, record.actual.kernel_names, count, signatures)


def _table_differences(
    rows: Sequence[KernelTime], names: Sequence[str], count: float, signatures: tuple[str, ...]
) -> Iterator[str]:
    rest = sum(row.count for row in rows if row.name == OTHERS)
    surely = sum(row.count for row in rows if any(part in row.name for part in signatures))
    perhaps = sum(row.count for row in rows if _bears(row.name, signatures))
    rounding = COUNT_ROUNDING * (len(rows) + 1)
    if not surely - rounding <= count <= perhaps + rest + rounding:
        yield f"actual.products_per_step: {count:g}, the table of kernels has {surely:g} to {perhaps + rest:g}"
    unseen = [name for name in names if not rest and all(name != row.name for row in rows)]
    if unseen:
        yield f"actual.kernel_names: {shown(unseen[0])} is not in the table of kernels"


def _bears(name: str, signatures: tuple[str, ...]) -> bool:
    """Does a kernel's name bear a signature, or may what was cut off it have borne one?"""
    return len(name) >= CUT_NAME_LENGTH or any(part in name for part in signatures)
