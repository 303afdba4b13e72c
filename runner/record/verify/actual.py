"""Checks the section `actual`: it matches the cell, and the profile's table of kernels confirms it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner import registry
from runner.cell import attention
from runner.cell.fieldtypes import ABSENT
from runner.cell.vocabulary import CUDA
from runner.declarations import READ_BACKS
from runner.record.line import short_repr, unequal
from runner.record.sections.passes import OTHERS, KernelTime
from runner.record.sessionrecord import MeasuredRecord
from runner.record.verify import older
from runner.record.verify.passes import COUNT_ROUNDING, device_kind, is_complete

CUT_NAME_LENGTH = 100  # a shorter name was not truncated by any version of the worker
SDPA = "sdpa"
LAUNCHES = {"none": (0, 0), "whole-step": (1, 1), "partial": (1e-9, float("inf"))}
"""Graph mode → smallest and largest number of CUDA graph launches in a step."""


def differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each field of `actual` that does not match the cell, or that the profile contradicts."""
    cell, actual = record.cell, record.actual
    for field in ("runtime", "kernel", "cache"):
        yield from unequal(f"actual.{field}", getattr(actual, field), f"cell.{field}", getattr(cell, field))
    yield from _attention_differences(record)
    mode = registry.runtime(cell.runtime).DECLARATION.graph_mode_with(cell.options)
    yield from unequal("actual.graph_mode", actual.graph_mode, f"that of {cell.runtime}", mode)
    yield from _launch_differences(record, mode)
    signatures = registry.kernel(cell.kernel).DECLARATION.signatures
    if not any(_may_have_signature(name, signatures) for name in actual.kernel_names):
        yield f"actual.kernel_names: none of {short_repr(list(actual.kernel_names))} is a kernel of {cell.kernel}"
    yield from _product_differences(record, signatures)
    yield from _whole_step_differences(record)


def _attention_differences(record: MeasuredRecord) -> Iterator[str]:
    backend, requested = record.actual.attention_backend, record.cell.options.get(SDPA)
    if backend not in attention.BACKENDS:
        yield f"actual.attention_backend: {short_repr(backend)} is not one of {', '.join(attention.BACKENDS)}"
        return
    if requested is not None:
        yield from unequal("actual.attention_backend", backend, "the option sdpa", requested)
    if device_kind(record.cell) == CUDA:
        yield from _profiled_backend_differences(record.kernels, backend)


def _profiled_backend_differences(rows: Sequence[KernelTime], backend: str) -> Iterator[str]:
    """Yields a line if the table of kernels shows another backend, unless its summed row may hide this one."""
    names = [row.name for row in rows]
    profiled = attention.backend_of(names)
    may_be_hidden = OTHERS in names and attention.BACKENDS.index(backend) < attention.BACKENDS.index(profiled)
    if profiled != backend and not may_be_hidden:
        yield f"actual.attention_backend: {backend}, but the table of kernels shows {profiled}"


def _launch_differences(record: MeasuredRecord, mode: str) -> Iterator[str]:
    launches = record.actual.graph_launches_per_step
    if launches is ABSENT:
        if record.keys.code_key not in older.keys_without_counts():
            yield "actual.graph_launches_per_step: missing"
        return
    least, most = LAUNCHES[mode]
    if not least <= launches <= most:
        yield f"actual.graph_launches_per_step: {launches:g}, though the graph mode of this runtime is {mode}"


def _product_differences(record: MeasuredRecord, signatures: tuple[str, ...]) -> Iterator[str]:
    """Yields a line if a step launched fewer products than the kernel declares, or the table of kernels shows another
    number."""
    count = record.actual.products_per_step
    if count is ABSENT:
        if record.keys.code_key not in older.keys_without_counts():
            yield "actual.products_per_step: missing"
        return
    expected = registry.least_launches(record.cell, record.model.shape)
    if count < expected:
        yield f"actual.products_per_step: {count:g}, but the layers have at least {expected}"
    if is_complete(record.kernels):
        yield from _table_differences(record.kernels, record.actual.kernel_names, count, signatures)


def _whole_step_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line if a runtime whose kernels make the whole step ran other kernels, or copies but the read-back."""
    expected = registry.runtime(record.cell.runtime).DECLARATION.kernels_per_step
    if expected is None:
        return
    count = sum(row.count for row in record.kernels)
    if count != expected:
        yield f"kernels: {count:g} a step, but a step of runtime {record.cell.runtime} is {expected}"
    copies = record.actual.copies_per_step
    if copies != READ_BACKS:
        yield f"actual.copies_per_step: {short_repr(copies)}, but a step of {record.cell.runtime} reads its token back"


def _table_differences(
    rows: Sequence[KernelTime], names: Sequence[str], count: float, signatures: tuple[str, ...]
) -> Iterator[str]:
    summed = sum(row.count for row in rows if row.name == OTHERS)
    least = sum(row.count for row in rows if any(part in row.name for part in signatures))
    most = summed + sum(row.count for row in rows if _may_have_signature(row.name, signatures))
    rounding = COUNT_ROUNDING * (len(rows) + 1)
    if not least - rounding <= count <= most + rounding:
        yield f"actual.products_per_step: {count:g}, but the table of kernels has {least:g} to {most:g}"
    missing = [name for name in names if not summed and all(name != row.name for row in rows)]
    if missing:
        yield f"actual.kernel_names: {short_repr(missing[0])} is not in the table of kernels"


def _may_have_signature(name: str, signatures: tuple[str, ...]) -> bool:
    """Returns whether the name contains a signature, or was truncated before one could appear."""
    return len(name) >= CUT_NAME_LENGTH or any(part in name for part in signatures)
