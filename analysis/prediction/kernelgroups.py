"""The kernels of a profiled step in four groups, by their names: products, head, attention and all others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runner import registry
from runner.record.sections.passes import KernelTime

ATTENTION = (
    *("sdpa", "flash", "scaled_dot_product", "lean_reduction"),
    # the cache, copied for every query head (static) or grown by a position (dynamic)
    *("elementwise_kernel<128, 4, at::native::gpu_kernel_impl_nocast<at::native::direct", "CatArrayBatchedCopy_vec"),
)
"""Substrings of the names of kernels whose time grows with the context: attention, and the copies of its cache."""
PLAIN = "cublas"
REDUCTION = "splitKreduce"
"""Substring of the names of kernels that add the parts of a product."""


@dataclass(frozen=True)
class GroupTimes:
    """Times of the groups in a step, in µs."""

    products: float
    head: float
    attention: float
    others: float


def group_times(kernels: Iterable[KernelTime], kernel: str) -> GroupTimes | None:
    """Returns the times of a step whose matrices this kernel multiplies; None if a group has no kernel of a known name.

    The head is never packed: it is the longest plain product that runs once, if the step has more kernels than one.
    """
    rows = list(kernels)
    if len(rows) == 1:
        return GroupTimes(rows[0].us, 0.0, 0.0, 0.0)
    once = [row for row in rows if row.count <= 1 and _named(row, _signatures(PLAIN))]
    head = sorted(once, key=lambda row: row.us)[-1:]
    others = [row for row in rows if row not in head]
    attention = [row for row in others if _named(row, ATTENTION)]
    own = (*_signatures(kernel), *([REDUCTION] if kernel == PLAIN else []))
    products = [row for row in others if row not in attention and row.count > 1 and _named(row, own)]
    rest = [row for row in others if row not in attention and row not in products]
    if not (head and attention and products and rest):
        return None
    return GroupTimes(*(sum(row.us for row in group) for group in (products, head, attention, rest)))


def _signatures(kernel: str) -> tuple[str, ...]:
    return registry.kernel(kernel).DECLARATION.signatures


def _named(row: KernelTime, parts: Iterable[str]) -> bool:
    return any(part in row.name for part in parts)
