"""The memory of a card that a configuration leaves."""

from __future__ import annotations

from runner.cell import catalogue


def left_bytes(gpu: str, needed_bytes: float | None) -> float | None:
    """Returns the card's memory beyond the needed bytes, None if either is unknown."""
    entry = catalogue.gpus().get(gpu)
    memory_gb = entry.memory_gb.value if entry else None
    return None if memory_gb is None or needed_bytes is None else memory_gb * 1e9 - needed_bytes
