"""The code of committed sessions that older rules hold for (older.yaml)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

PATH = Path(__file__).with_name("older.yaml")


@cache
def _keys() -> dict[str, frozenset[str]]:
    loaded: dict[str, list[str]] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    return {name: frozenset(keys) for name, keys in loaded.items()}


def of_gate_1() -> frozenset[str]:
    """Returns the code keys of the sessions that version 1 of the gate judged."""
    return _keys()["gate_1"]


def without_noise() -> frozenset[str]:
    """Returns the code keys of sessions whose coarse kernel was held to the noise of its dtype."""
    return _keys()["without_noise"]


def without_counts() -> frozenset[str]:
    """Returns the code keys of sessions that recorded neither products nor launches of CUDA graphs."""
    return _keys()["without_counts"]
