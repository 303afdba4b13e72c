"""The committed bounds of the gate: bounds.yaml states those of dtypes, declarations those of kernels and runtimes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from runner import registry
from runner.record import gaterules
from runner.record.codekey import read_data
from runner.record.statedbound import StatedBound


def cell_bounds(
    dtype: str, runtime: str, quant: str, kernel: str, hidden: int, synthetic: bool = True
) -> dict[str, Any]:
    """Returns the bounds of a cell, as its record states them.

    The cap is that of the dtype. Ratio and spread are those that the runtime or the kernel declares, else those of the
    dtype. `hidden` is the width of the model. `synthetic` is false for the weights of a checkpoint.
    """
    data = read_data("bounds.yaml")
    dtype_bounds = data[dtype]
    declared = next(_declared_bounds(dtype, runtime, quant, kernel), None)
    ratio, spread = (declared.ratio, declared.spread) if declared else (dtype_bounds["ratio"], dtype_bounds["spread"])
    least_spread = max((width, spread) for width, spread in data["spread_by_width"].items() if width <= hidden)[1]
    return {
        "gate_version": gaterules.VERSION,
        "cap": dtype_bounds["cap"],
        "stated_ratio": ratio,
        "stated_spread": max(spread, least_spread),
        "checkpoint_spread": 0.0 if synthetic else data["checkpoint_spread"],
        "dtype_ratio": dtype_bounds["ratio"],
        "dtype_spread": max(dtype_bounds["spread"], least_spread),
        "regret_limit": data["regret_limit"],
    }


def derived_under(quant: str, kernel: str, dtype: str) -> Mapping[str, Any]:
    """Returns {`code_key`, `ratio`, `spread`}: the code of the sessions that a kernel's bounds were derived from, and
    what these sessions state. Empty without bounds, or if the sessions are of gate version 1."""
    bound = _kernel_bounds(quant, kernel).get(dtype)
    return asdict(bound.derived_under) if bound and bound.derived_under else {}


def version_1_bounds(dtype: str, runtime: str, quant: str, kernel: str) -> dict[str, float]:
    """Returns the cap and the noise that apply to sessions of gate version 1."""
    dtype_bounds = read_data("bounds.yaml")[dtype]
    declared = (bound.noise for bound in _declared_bounds(dtype, runtime, quant, kernel) if bound.noise is not None)
    return {"cap": dtype_bounds["cap"], "noise": max([dtype_bounds["noise"], *declared])}


def _declared_bounds(dtype: str, runtime: str, quant: str, kernel: str) -> Iterator[StatedBound]:
    """Yields the bound that the runtime declares, if any, then that of the kernel."""
    for bounds in (_runtime_bounds(runtime), _kernel_bounds(quant, kernel)):
        if dtype in bounds:
            yield bounds[dtype]


def _runtime_bounds(name: str) -> Mapping[str, StatedBound]:
    return registry.runtime(name).DECLARATION.bounds if name in registry.runtime_names() else {}


def _kernel_bounds(quant: str, name: str) -> Mapping[str, StatedBound]:
    return registry.kernel(name).DECLARATION.bounds.get(quant, {}) if name in registry.kernel_names() else {}
