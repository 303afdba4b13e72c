"""Ranges with the rows that they are derived from."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from analysis.report import derived
from analysis.row import TracedRow
from analysis.tables import floor
from tests.support.frames import frame_of
from tests.support.records import cpu_record, example_record


@pytest.mark.medium
def test_a_range_names_the_rows_that_it_is_made_of_and_no_other() -> None:
    cells = ({"ctx": 2048}, {"ctx": 4096}, {"ctx": 2048, "cache": "dynamic"})
    rows = floor.rows(frame_of([example_record(cell=cell) for cell in cells]))
    growing, static = derived.ranges(rows)
    assert static.name == "range of h200 eager static bf16 sdpa paper-5-30 cublas"
    assert dict(static.rows) == {
        f"h200 qwen2.5-7b {ctx} bf16 eager static": row.anchor
        for ctx in (2048, 4096)
        for row in rows
        if (row.ctx, row.cache) == (ctx, "static")
    }
    assert [name for name, _ in growing.rows] == ["h200 qwen2.5-7b 2048 bf16 eager dynamic"]
    assert growing.anchor != static.anchor


@dataclass(frozen=True)
class Made(TracedRow):
    name: str
    origins: dict[str, list[str]]

    @property
    def label(self) -> str:
        return self.name


def test_a_row_with_several_origins_leads_to_each_and_rows_with_the_same_are_one_entry() -> None:
    both = {"group-1": ["a"], "group-2": ["b"]}
    made = [Made("x", both), Made("y", both), Made("one", {"group-1": ["a"]}), Made("none", {})]
    (found,) = derived.derived({"made": made}, {"group-1": "first", "group-2": "second"})
    assert found == derived.Derived(made[0].anchor or "", "x; y", (("first", "group-1"), ("second", "group-2")))
    assert [row.anchor for row in made[2:]] == ["group-1", None]


def test_without_a_comparable_cell_there_is_no_range() -> None:
    assert derived.ranges([]) == []
    assert derived.ranges(floor.rows(frame_of([cpu_record()]))) == []  # a CPU has no datasheet
