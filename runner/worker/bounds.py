"""The committed bounds of the gate, from bounds.yaml."""

from __future__ import annotations

from runner.worker.codekey import read_data


def of_dtype(dtype: str) -> dict[str, float]:
    """Cap and noise of a dtype, whatever computes in it."""
    found: dict[str, float] = read_data("bounds.yaml")[dtype]
    return found


def of(dtype: str, runtime: str, kernel: str) -> dict[str, float]:
    """Cap and noise of a cell: its dtype's, and the noise of its runtime or kernel where that is coarser."""
    data, whole = read_data("bounds.yaml"), of_dtype(dtype)
    coarser = (data["runtimes"].get(runtime, {}), data["kernels"].get(kernel, {}))
    noises = [whole["noise"], *(each[dtype]["noise"] for each in coarser if dtype in each)]
    return {**whole, "noise": max(noises)}
