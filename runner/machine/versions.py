"""The versions that a number depends on, of this interpreter's packages. `record.env_key` is a hash of them.

The worker states those of the torch that it imported. The parent reads torch's from its files, because importing it
takes seconds.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import platform
from pathlib import Path

from runner import registry
from runner.cell.cell import Cell

TORCH_VERSION, TORCH_CUDA = "__version__", "cuda"
"""Names in torch/version.py."""
DRIVER = "driver_major"


def of_package(package: str) -> str | None:
    """Returns the version of an installed package; None if this interpreter lacks it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def of_session(cell: Cell, driver: str | None, torch: str | None, cuda: str | None) -> dict[str, str | None]:
    """Returns the versions of a session of the cell in this interpreter, by their names in a record.

    `torch` is torch's version and `cuda` the version of CUDA that it was built for.
    """
    return {
        "python": platform.python_version(),
        "torch": torch,
        "cuda": cuda,
        "transformers": of_package("transformers"),
        "triton": of_package("triton"),
        "kernel_package": _of_cell(cell),
        DRIVER: major(driver),
    }


def major(driver: str | None) -> str | None:
    """Returns the major version of a driver."""
    return driver.split(".")[0] if driver else None


def installed(cell: Cell, driver: str | None) -> dict[str, str | None]:
    """Returns the versions that a session of the cell would have now in this interpreter, without importing torch."""
    stated = _torch_constants()
    return of_session(cell, driver, stated.get(TORCH_VERSION), stated.get(TORCH_CUDA))


def _of_cell(cell: Cell) -> str | None:
    """Returns the versions of the packages of the cell's kernel and runtime; None if both are torch's."""
    kernel, runtime = registry.kernel(cell.kernel).DECLARATION, registry.runtime(cell.runtime).DECLARATION
    names = (kernel.package, runtime.package, *runtime.companions)
    packages = dict.fromkeys(name for name in names if name is not None)
    return "+".join(filter(None, map(of_package, packages))) or None


def _torch_constants() -> dict[str, str]:
    """Returns the texts that torch/version.py assigns to names; empty without torch."""
    spec = importlib.util.find_spec("torch")
    folders = spec.submodule_search_locations if spec else None
    try:
        definitions = ast.parse(Path(folders[0], "version.py").read_text(encoding="utf-8")).body if folders else []
    except (OSError, ValueError, SyntaxError):  # an installation that is incomplete
        return {}
    return {
        ast.unparse(target): node.value.value
        for node in definitions
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(node.value.value, str)
    }
