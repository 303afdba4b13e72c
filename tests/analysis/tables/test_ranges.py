"""Ranges of both ratios over the comparable cells of a GPU."""

from dataclasses import replace

import pytest

from analysis.tables import _ranges, floor
from tests.support.frames import frame_of
from tests.support.older import of_code
from tests.support.records import example_record


@pytest.mark.medium
def test_a_range_counts_each_cell_once_and_only_such_as_are_alike():
    def of(ctx, **changes):
        return of_code(changes.pop("code", "b"), changes.pop("later_ms", 1), cell={"ctx": ctx, **changes})

    records = [of(2048), of(4096), of(2048, code="a", later_ms=0), of(2048, dtype="fp16")]
    for every_code in (False, True):
        ranges = _ranges.gpu_ranges(floor.rows(frame_of(records), every_code))
        assert [(row.dtype, row.cells) for row in ranges] == [("bf16", 2), ("fp16", 1)]
    assert [column.key for column in _ranges.range_columns(ranges)][:4] == ["gpu", "runtime", "cache", "dtype"]


@pytest.mark.medium
def test_the_ends_and_the_median_are_those_of_valid_unquantised_cells_with_a_datasheet():
    rows = floor.rows(frame_of([example_record(cell={"ctx": ctx}) for ctx in (2048, 4096, 8192)]))
    valid = [replace(row, r_floor=r, r_floor_paper=2 * r) for row, r in zip(rows, (0.3, 0.1, 0.2), strict=True)]
    others = [replace(valid[0], ctx=1, **change) for change in ({"valid": False}, {"quant": "awq"}, {"r_floor": None})]
    (found,) = _ranges.gpu_ranges([*valid, *others])
    assert (found.cells, found.r_floor_low, found.r_floor_median, found.r_floor_high) == (3, 0.1, 0.2, 0.3)
    assert (found.r_floor_paper_low, found.r_floor_paper_median, found.r_floor_paper_high) == (0.2, 0.4, 0.6)


@pytest.mark.medium
def test_a_range_has_an_anchor_of_what_its_cells_share():
    static, growing = (example_record(cell={"cache": cache}) for cache in ("static", "dynamic"))
    ranges = _ranges.gpu_ranges(floor.rows(frame_of([static, growing])))
    ((shared, _), *_) = _ranges.comparable_cells(floor.rows(frame_of([growing])))
    assert [row.anchor for row in ranges if row.cache == "dynamic"] == [_ranges.range_anchor(shared)]
    assert len({row.anchor for row in ranges}) == 2
