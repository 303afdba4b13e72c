"""The code keys to which older rules apply are those of committed sessions, and of no others."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from runner.record import record, spool
from runner.record.verify import older

EXPERIMENTS = Path(__file__).parents[4] / "experiments"


@cache
def measured() -> list[dict[str, Any]]:
    found = [record.read(path) for name in ("records", "gate") for path in spool.record_files(EXPERIMENTS / name)]
    return [each for each in found if each["outcome"]["status"] == "measured"]


def keys(sessions: list[dict[str, Any]]) -> set[str]:
    return {each["keys"]["code_key"] for each in sessions}


@pytest.mark.medium
def test_every_session_of_version_1_of_the_gate_is_by_code_of_that_version() -> None:
    first = [each for each in measured() if "gate_version" not in each["gate"]]
    later = [each for each in measured() if "gate_version" in each["gate"]]
    assert keys(first) <= older.gate_1_keys()
    assert not keys(later) & older.gate_1_keys()


def test_only_code_that_counted_nothing_may_leave_the_counts_out() -> None:
    without = [each for each in measured() if "products_per_step" not in each["actual"]]
    assert keys(without) == older.keys_without_counts()


def test_only_code_that_clocked_no_phases_may_leave_them_out() -> None:
    without = [each for each in measured() if each["cell"]["runtime"] == "fused" and "phases" not in each]
    assert keys(without) == older.keys_without_phases()


def test_code_without_a_noise_of_each_kernel_is_of_version_1() -> None:
    assert older.keys_without_noise() < older.gate_1_keys()
