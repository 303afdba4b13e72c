"""The three registries: formats, kernels, runtimes. Each entry is one module; adding one touches no other file.

A module is named after its entry with `-` written `_`; one whose name begins with `_` is no entry. An entry can be
imported without torch: what needs torch imports it inside its functions, so that the parent can ask what exists before
any worker starts.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from runner import formats, kernels, runtimes
from runner.cell import floors
from runner.cell.cell import Cell
from runner.cell.scheme import Scheme
from runner.cell.shape import ModelShape
from runner.declarations import KernelDeclaration, RuntimeDeclaration
from runner.protocols import Kernel, PackedFormat, PackedKernel, PlainKernel, Runtime, WeightFormat

DEVICE = "device"
KERNEL, RUNTIME = "kernel", "runtime"
UNCAPTURABLE = "cannot be captured in a CUDA graph"


def _names(package: ModuleType) -> tuple[str, ...]:
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name.replace("_", "-") for name in found if not name.startswith("_")))


def _load(package: ModuleType, name: str) -> Any:
    return importlib.import_module(f"{package.__name__}.{name.replace('-', '_')}")


def folders() -> Iterator[Path]:
    """Yields the folders where formats, kernels and runtimes are looked for."""
    for package in (formats, kernels, runtimes):
        yield from map(Path, package.__path__)


def format_names() -> tuple[str, ...]:
    """Quants this version can build."""
    return _names(formats)


def kernel_names() -> tuple[str, ...]:
    """Kernels this version can run."""
    return _names(kernels)


def runtime_names() -> tuple[str, ...]:
    """Runtimes this version can run."""
    return _names(runtimes)


def weight_format(quant: str) -> WeightFormat:
    """The module of a format; `quant` must be one of `format_names()`."""
    return cast(WeightFormat, _load(formats, quant))


def packed_format(quant: str) -> PackedFormat:
    """The module of a format whose declaration says `packed`."""
    return cast(PackedFormat, _load(formats, quant))


def weight_bytes(quant: str, scheme: Scheme | None, shape: ModelShape, dtype_bytes: int) -> int:
    """`W`: bytes of all weights as the format stores them; what is not packed is of the cell's dtype."""

    def linear_bytes(rows: int, columns: int) -> int:
        if scheme is None:
            return rows * columns * dtype_bytes
        return sum(part.bytes for part in packed_format(quant).parts(rows, columns, scheme).values())

    return floors.weight_bytes(shape, dtype_bytes, linear_bytes)


def kernel(name: str) -> Kernel:
    """The module of a kernel; `name` must be one of `kernel_names()`."""
    return cast(Kernel, _load(kernels, name))


def packed_kernel(name: str) -> PackedKernel:
    """The module of a kernel that multiplies packed weights."""
    return cast(PackedKernel, _load(kernels, name))


def makes_layers(name: str) -> bool:
    """Returns whether a kernel has layers of its own; unquantised weights may be multiplied by torch's."""
    return hasattr(_load(kernels, name), "linears")


def plain_kernel(name: str) -> PlainKernel:
    """The module of a kernel that has layers of its own for unquantised weights."""
    return cast(PlainKernel, _load(kernels, name))


def runtime(name: str) -> Runtime:
    """The module of a runtime; `name` must be one of `runtime_names()`."""
    return cast(Runtime, _load(runtimes, name))


@dataclass(frozen=True)
class Conflict:
    """A value of a cell that does not go with the cell's kernel or runtime.

    `owner` is the field that names that kernel or runtime, and `name` its name. `allowed` are the values that it takes.
    `why` is the reason where the declaration does not list them.
    """

    field: str
    """field of the cell, or DEVICE"""
    value: str
    owner: str
    name: str
    allowed: tuple[str, ...]
    why: str | None = None


def conflicts(cell: Cell) -> Iterator[Conflict]:
    """Yields each rule about kernels and runtimes that a cell breaks.

    Kernel and runtime must be names of this version.
    """
    of_kernel, of_runtime = kernel(cell.kernel).DECLARATION, runtime(cell.runtime).DECLARATION
    rules = (
        ("quant", cell.quant, KERNEL, of_kernel.quants),
        (DEVICE, cell.device_kind, KERNEL, of_kernel.devices),
        (DEVICE, cell.device_kind, RUNTIME, of_runtime.devices),
        ("quant", cell.quant, RUNTIME, of_runtime.quants),
        (KERNEL, cell.kernel, RUNTIME, of_runtime.kernels),
        (RUNTIME, cell.runtime, KERNEL, of_kernel.runtimes),
        ("dtype", cell.dtype, KERNEL, of_kernel.dtypes),
        ("cache", cell.cache, RUNTIME, of_runtime.caches),
        ("attention", cell.attention, RUNTIME, of_runtime.attentions),
    )
    names = {KERNEL: cell.kernel, RUNTIME: cell.runtime}
    for field, value, owner, allowed in rules:
        if allowed is not None and value not in allowed:
            yield Conflict(field, value, owner, names[owner], allowed)
    if of_runtime.replays_eager and not of_kernel.capturable:
        yield Conflict(KERNEL, cell.kernel, RUNTIME, cell.runtime, _capturable(), UNCAPTURABLE)


def _capturable() -> tuple[str, ...]:
    return tuple(declared.name for declared in kernel_declarations() if declared.capturable)


def kernel_declarations() -> tuple[KernelDeclaration, ...]:
    """Returns the declarations of all kernels of this version."""
    return tuple(kernel(name).DECLARATION for name in kernel_names())


def runtime_declarations() -> tuple[RuntimeDeclaration, ...]:
    """Returns the declarations of all runtimes of this version."""
    return tuple(runtime(name).DECLARATION for name in runtime_names())


def least_launches(cell: Cell, shape: ModelShape) -> int:
    """Returns how many kernels named in the signatures of the cell's kernel a step launches at least."""
    products = runtime(cell.runtime).DECLARATION.products(shape)
    return products * kernel(cell.kernel).DECLARATION.launches_per_product
