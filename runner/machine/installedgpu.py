"""A GPU of this machine, as NVML or nvidia-smi describes it."""

from __future__ import annotations

from dataclasses import dataclass

from runner.machine import visible


@dataclass(frozen=True)
class InstalledGpu:
    """A GPU of this machine. `index` is NVML's, in PCI bus order.

    A card with `mig` on is partitioned and cannot be measured as a whole card. `memory_bytes` is the host's if host and
    GPU share memory. `compute_capability` is None if neither bindings nor library report it. A card with a `fault` does
    not answer; its other fields are what it reported before, or "" and 0.
    """

    index: int
    uuid: str
    name: str
    memory_bytes: int
    compute_capability: str | None  # "9.0"
    driver: str
    mig: bool
    fault: str | None = None

    @property
    def obstacle(self) -> str | None:
        """Returns why the card cannot be measured, with its name, or None if it can."""
        called = f"gpu {self.index} ({self.name})" if self.name else f"gpu {self.index}"
        if self.fault is not None:
            return f"{called} does not answer: {self.fault}"
        return f"{called} is in MIG mode, and {visible.NO_FLOOR}" if self.mig else None
