"""The three registries: formats, kernels, runtimes. Each entry is one module; adding one touches no other file.

A module is named after its entry, with `_` in place of `-`. Modules whose names begin with `_` are not entries. Entries
import torch inside functions only, so that the parent can list them before any worker starts.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
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
    return _listed(tuple(package.__path__))


@cache
def _listed(folders: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the names of the entries in these folders. Cached: a study resolves thousands of cells."""
    names = (module.name for module in pkgutil.iter_modules(folders))
    return tuple(sorted(name.replace("_", "-") for name in names if not name.startswith("_")))


def _load(package: ModuleType, name: str) -> Any:
    module = f"{package.__name__}.{name.replace('-', '_')}"
    return sys.modules.get(module) or importlib.import_module(module)


def folders() -> Iterator[Path]:
    """Yields the folders of formats, kernels and runtimes."""
    for package in (formats, kernels, runtimes):
        yield from map(Path, package.__path__)


def format_names() -> tuple[str, ...]:
    """Returns the quants that this version can build."""
    return _names(formats)


def kernel_names() -> tuple[str, ...]:
    """Returns the kernels that this version can run."""
    return _names(kernels)


def runtime_names() -> tuple[str, ...]:
    """Returns the runtimes that this version can run."""
    return _names(runtimes)


def weight_format(quant: str) -> WeightFormat:
    """Returns the module of a format; `quant` must be one of `format_names()`."""
    return cast(WeightFormat, _load(formats, quant))


def packed_format(quant: str) -> PackedFormat:
    """Returns the module of a packed format."""
    return cast(PackedFormat, _load(formats, quant))


def weight_bytes(quant: str, scheme: Scheme | None, shape: ModelShape, dtype_bytes: int) -> int:
    """Returns `W`: bytes of all weights as the format stores them. Unpacked ones have the cell's dtype."""

    def linear_bytes(rows: int, columns: int) -> int:
        if scheme is None:
            return rows * columns * dtype_bytes
        return sum(part.bytes for part in packed_format(quant).parts(rows, columns, scheme).values())

    return floors.weight_bytes(shape, dtype_bytes, linear_bytes)


def default_scheme(quant: str) -> Scheme | None:
    """Returns the packing that a format uses without options, None for a format without packing."""
    declared = weight_format(quant).DECLARATION
    if not declared.packed:
        return None
    return packed_format(quant).scheme({name: words[0] for name, words in declared.options.items()})


def streamed_bytes(quant: str, shape: ModelShape, ctx: int, dtype_bytes: int) -> float:
    """Returns `W - E + K`, the bytes that a step at ctx must read, of weights with the format's default packing."""
    weights = weight_bytes(quant, default_scheme(quant), shape, dtype_bytes)
    kv = floors.kv_bytes_per_token(shape, dtype_bytes) * ctx
    return floors.bytes_streamed(weights, floors.embedding_bytes(shape, dtype_bytes), kv)


def kernel(name: str) -> Kernel:
    """Returns the module of a kernel; `name` must be one of `kernel_names()`."""
    return cast(Kernel, _load(kernels, name))


def packed_kernel(name: str) -> PackedKernel:
    """Returns the module of a kernel that multiplies packed weights."""
    return cast(PackedKernel, _load(kernels, name))


def makes_layers(name: str) -> bool:
    """Returns whether a kernel has its own layers. Otherwise torch's multiply unquantised weights."""
    return hasattr(_load(kernels, name), "linears")


def plain_kernel(name: str) -> PlainKernel:
    """Returns the module of a kernel with its own layers for unquantised weights."""
    return cast(PlainKernel, _load(kernels, name))


def runtime(name: str) -> Runtime:
    """Returns the module of a runtime; `name` must be one of `runtime_names()`."""
    return cast(Runtime, _load(runtimes, name))


@dataclass(frozen=True)
class Conflict:
    """A value of a cell that the cell's kernel or runtime does not support."""

    field: str
    """field of the cell, or DEVICE"""
    value: str
    owner: str
    """KERNEL or RUNTIME: the one that does not support the value"""
    name: str
    """name of that kernel or runtime"""
    allowed: tuple[str, ...]
    """values that it supports"""
    why: str | None = None
    """reason, if the declaration does not list the values"""


def conflicts(cell: Cell) -> Iterator[Conflict]:
    """Yields each rule of the cell's kernel and runtime that the cell breaks.

    Both must be in the registry.
    """
    kernel_rules, runtime_rules = kernel(cell.kernel).DECLARATION, runtime(cell.runtime).DECLARATION
    rules = (
        (DEVICE, cell.device_kind, KERNEL, kernel_rules.devices),
        (DEVICE, cell.device_kind, RUNTIME, runtime_rules.devices),
        ("quant", cell.quant, KERNEL, kernel_rules.quants),
        ("quant", cell.quant, RUNTIME, runtime_rules.quants),
        (KERNEL, cell.kernel, RUNTIME, runtime_rules.kernels),
        (RUNTIME, cell.runtime, KERNEL, kernel_rules.runtimes),
        ("dtype", cell.dtype, KERNEL, kernel_rules.dtypes),
        ("cache", cell.cache, RUNTIME, runtime_rules.caches),
        ("attention", cell.attention, RUNTIME, runtime_rules.attentions),
    )
    names = {KERNEL: cell.kernel, RUNTIME: cell.runtime}
    for field, value, owner, allowed in rules:
        if allowed is not None and value not in allowed:
            yield Conflict(field, value, owner, names[owner], allowed)
    if runtime_rules.replays_eager and not kernel_rules.capturable:
        yield Conflict(KERNEL, cell.kernel, RUNTIME, cell.runtime, _capturable(), UNCAPTURABLE)


def _capturable() -> tuple[str, ...]:
    return tuple(declared.name for declared in kernel_declarations() if declared.capturable)


def kernel_declarations() -> tuple[KernelDeclaration, ...]:
    """Returns the declarations of all kernels in `runner.kernels`."""
    return tuple(kernel(name).DECLARATION for name in kernel_names())


def runtime_declarations() -> tuple[RuntimeDeclaration, ...]:
    """Returns the declarations of all runtimes in `runner.runtimes`."""
    return tuple(runtime(name).DECLARATION for name in runtime_names())


def least_launches(cell: Cell, shape: ModelShape) -> int:
    """Returns the least number of launches per step that match the signatures of the cell's kernel."""
    products = runtime(cell.runtime).DECLARATION.products(shape)
    return products * kernel(cell.kernel).DECLARATION.launches_per_product
