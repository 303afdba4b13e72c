"""The committed bounds of the gate, from bounds.yaml."""

from __future__ import annotations

from runner.worker.codekey import read_data


def of(dtype: str, runtime: str) -> dict[str, float]:
    """Cap and noise of a cell's dtype, the noise its runtime's own where it has one."""
    data = read_data("bounds.yaml")
    own = data["runtimes"].get(runtime, {}).get(dtype, {})
    return {**data[dtype], **own}
