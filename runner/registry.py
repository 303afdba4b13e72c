"""The three registries: formats, kernels, runtimes. Each entry is one module; adding one touches no other file.

A module is named after its entry with `-` written `_`; one whose name begins with `_` is no entry. An entry can be
imported without torch: what needs torch imports it inside its functions, so that the parent can ask what exists before
any worker starts.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any, cast

from runner import formats, kernels, runtimes
from runner.cell import floors
from runner.cell.scheme import Scheme
from runner.cell.shape import ModelShape
from runner.declarations import Kernel, PackedFormat, PackedKernel, Runtime, WeightFormat


def _names(package: ModuleType) -> tuple[str, ...]:
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name.replace("_", "-") for name in found if not name.startswith("_")))


def _load(package: ModuleType, name: str) -> Any:
    return importlib.import_module(f"{package.__name__}.{name.replace('-', '_')}")


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


def runtime(name: str) -> Runtime:
    """The module of a runtime; `name` must be one of `runtime_names()`."""
    return cast(Runtime, _load(runtimes, name))
