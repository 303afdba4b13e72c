"""The committed bounds of the gate: each dtype's from bounds.yaml, and those that kernels and runtimes declare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from runner import registry
from runner.record import gaterules
from runner.record.codekey import read_data
from runner.record.statedbound import StatedBound


def of(dtype: str, runtime: str, quant: str, kernel: str, hidden: int, synthetic: bool = True) -> dict[str, Any]:
    """Returns the bounds of a cell, as its record states them: its dtype's cap, and the ratio to trusted eager of its
    dtype, or of its runtime or kernel where that has one of its own. `hidden` is the width of its model; `synthetic` is
    false where its weights are a checkpoint's."""
    data = read_data("bounds.yaml")
    plain = data[dtype]
    own = next(_declared(dtype, runtime, quant, kernel), None)
    ratio, spread = (own.ratio, own.spread) if own else (plain["ratio"], plain["spread"])
    least = max((width, spread) for width, spread in data["spread_by_width"].items() if width <= hidden)[1]
    return {
        "gate_version": gaterules.VERSION,
        "cap": plain["cap"],
        "stated_ratio": ratio,
        "stated_spread": max(spread, least),
        "checkpoint_spread": 0.0 if synthetic else data["checkpoint_spread"],
        "dtype_ratio": plain["ratio"],
        "dtype_spread": max(plain["spread"], least),
        "regret_limit": data["regret_limit"],
    }


def derived_under(quant: str, kernel: str, dtype: str) -> Mapping[str, Any]:
    """Returns the `code_key` of the sessions that a kernel's bounds were derived from, and the ratio and spread that
    they state themselves; empty where they come from sessions of gate version 1."""
    bound = _of_kernel(quant, kernel).get(dtype)
    return asdict(bound.derived_under) if bound and bound.derived_under else {}


def of_version_1(dtype: str, runtime: str, quant: str, kernel: str) -> dict[str, float]:
    """Returns the cap and the noise that sessions of gate version 1 are held to."""
    plain = read_data("bounds.yaml")[dtype]
    own = (bound.noise for bound in _declared(dtype, runtime, quant, kernel) if bound.noise is not None)
    return {"cap": plain["cap"], "noise": max([plain["noise"], *own])}


def _declared(dtype: str, runtime: str, quant: str, kernel: str) -> Iterator[StatedBound]:
    """Yields the bound of the runtime, then of the kernel, where they declare one."""
    for bounds in (_of_runtime(runtime), _of_kernel(quant, kernel)):
        if dtype in bounds:
            yield bounds[dtype]


def _of_runtime(name: str) -> Mapping[str, StatedBound]:
    return registry.runtime(name).DECLARATION.bounds if name in registry.runtime_names() else {}


def _of_kernel(quant: str, name: str) -> Mapping[str, StatedBound]:
    return registry.kernel(name).DECLARATION.bounds.get(quant, {}) if name in registry.kernel_names() else {}
