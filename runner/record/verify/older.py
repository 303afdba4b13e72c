"""Code keys of committed sessions to which older rules apply (older.yaml)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

PATH = Path(__file__).with_name("older.yaml")


@cache
def _keys() -> dict[str, frozenset[str]]:
    loaded: dict[str, list[str]] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    return {name: frozenset(keys) for name, keys in loaded.items()}


def gate_1_keys() -> frozenset[str]:
    """Returns the code keys of sessions that version 1 of the gate judged."""
    return _keys()["gate_1"]


def keys_without_noise() -> frozenset[str]:
    """Returns the code keys of sessions in which a coarse kernel had only the noise of its dtype."""
    return _keys()["without_noise"]


def keys_without_counts() -> frozenset[str]:
    """Returns the code keys of sessions that recorded neither products nor launches of CUDA graphs."""
    return _keys()["without_counts"]


def keys_without_phases() -> frozenset[str]:
    """Returns the code keys of sessions of one kernel that recorded no clocks of its phases."""
    return _keys()["without_phases"]
