"""Groups of sessions: their key, their step, and the fields that rows take from them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from analysis.group import shared
from tests.support.frames import GROUP


def test_a_key_has_what_the_sessions_of_a_row_have_in_common() -> None:
    group = replace(GROUP, cell_key="c" * 12, code_key=None, env_key="e" * 12, status="oom", valid=False)
    assert group.key == ("c" * 12, "paper-5-30", None, "e" * 12, "oom", False)
    assert replace(group, sessions=9, hosts=["another"]).key == group.key


def test_a_row_takes_the_fields_that_it_declares_too() -> None:
    @dataclass(frozen=True)
    class Toy:
        gpu: str
        hosts: int
        """not the group's: whoever makes the row replaces it"""
        dog_ms: float

    assert shared(replace(GROUP, gpu="l4"), Toy) == {"gpu": "l4", "hosts": GROUP.hosts}


def test_only_measured_sessions_have_a_step() -> None:
    assert replace(GROUP, step_wall_ms=36.0).wall_ms == 36.0
    with pytest.raises(AssertionError):
        _ = GROUP.wall_ms
