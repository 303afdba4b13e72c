"""The memory that a configuration leaves."""

from __future__ import annotations

from analysis.choose import memory


def test_memory_left_is_that_of_the_catalogue_without_the_need() -> None:
    assert memory.left_bytes("l4", 20e9) == 4e9
    assert memory.left_bytes("l4", 25e9) == -1e9
    assert memory.left_bytes("l4", None) is None
    assert memory.left_bytes("my-card", 1.0) is None
