"""The committed bounds of the gate, from bounds.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runner.record import gaterules
from runner.record.codekey import read_data


def of(dtype: str, runtime: str, quant: str, kernel: str, hidden: int, synthetic: bool = True) -> dict[str, Any]:
    """Returns the bounds of a cell, as its record states them: its dtype's cap, and the ratio to trusted eager of its
    dtype, or of its runtime or kernel where that has one of its own. `hidden` is the width of its model; `synthetic` is
    false where its weights are a checkpoint's."""
    data = read_data("bounds.yaml")
    plain = data[dtype]
    stated = next(_coarser(data, dtype, runtime, f"{quant}/{kernel}", "ratio"), plain)
    least = max((width, spread) for width, spread in data["spread_by_width"].items() if width <= hidden)[1]
    return {
        "gate_version": gaterules.VERSION,
        "cap": plain["cap"],
        "stated_ratio": stated["ratio"],
        "stated_spread": max(stated["spread"], least),
        "checkpoint_spread": 0.0 if synthetic else data["checkpoint_spread"],
        "dtype_ratio": plain["ratio"],
        "dtype_spread": max(plain["spread"], least),
        "regret_limit": data["regret_limit"],
    }


def derived_under(quant: str, kernel: str, dtype: str) -> Mapping[str, Any]:
    """Returns the `code_key` of the sessions that a kernel's bounds were derived from, and the ratio and spread that
    they state themselves; empty where they come from sessions of gate version 1."""
    kernels: Mapping[str, Any] = read_data("bounds.yaml")["kernels"]
    found: Mapping[str, Any] = kernels.get(f"{quant}/{kernel}", {}).get(dtype, {}).get("derived_under", {})
    return found


def of_version_1(dtype: str, runtime: str, quant: str, kernel: str) -> dict[str, float]:
    """Cap and noise that sessions of a cell were held to before there were ratios."""
    data = read_data("bounds.yaml")
    coarser = _coarser(data, dtype, runtime, f"{quant}/{kernel}", "noise")
    return {"cap": data[dtype]["cap"], "noise": max([data[dtype]["noise"], *(each["noise"] for each in coarser)])}


def _coarser(data: Mapping[str, Any], dtype: str, runtime: str, path: str, field: str) -> Iterator[Mapping[str, Any]]:
    """Entries of the runtime, then of the kernel, that have the field."""
    for entry in (data["runtimes"].get(runtime, {}), data["kernels"].get(path, {})):
        if field in entry.get(dtype, {}):
            yield entry[dtype]
