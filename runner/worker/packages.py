"""The packages that a cell needs here: checked before torch is imported, and where one proves incomplete in use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runner import failures, registry
from runner.cell.cell import Cell
from runner.declarations import KernelDeclaration, RuntimeDeclaration
from runner.errors import MissingPackage
from runner.findable import is_findable

STACK = ("torch", "transformers", "safetensors")
"""Packages that every session imports."""


def check_stack() -> None:
    """Raises MissingPackage if this interpreter lacks a package of the stack. It runs before anything slow."""
    for name in STACK:
        if not is_findable(name):
            raise failures.missing_package(name)


def check_cell(cell: Cell) -> None:
    """Raises MissingPackage if this interpreter lacks the package of the cell's kernel or runtime.

    An incomplete package shows only in use.
    """
    kernel, runtime = registry.kernel(cell.kernel).DECLARATION, registry.runtime(cell.runtime).DECLARATION
    for choice, declared in ((f"kernel={kernel.name}", kernel), (f"runtime={runtime.name}", runtime)):
        if declared.module is not None and not is_findable(declared.module):
            raise MissingPackage(f"{choice} needs the package {declared.package} here: {declared.remedy}")


@contextmanager
def import_errors(declared: KernelDeclaration | RuntimeDeclaration) -> Iterator[None]:
    """Raises MissingPackage if a part of the package of a kernel or runtime cannot be imported."""
    try:
        yield
    except ImportError as error:
        if declared.package is None:
            raise
        raise MissingPackage(
            f"the package {declared.package} of {declared.name} is incomplete here ({error}): {declared.remedy}"
        ) from error
