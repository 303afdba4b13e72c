"""Ranges of warps: together they are everything, once."""

from itertools import pairwise

import pytest

from runner.fused import geometry, plan
from runner.fused.plan import Range
from tests.support.fusedshapes import H200, everything


def test_a_range_is_cut_into_shares_of_nearly_the_same_size() -> None:
    # 10 = 3 + 2 + 2 + 3: the larger shares begin with share 3 and wrap to share 0
    assert list(Range(5, 15).cut(4, 3)) == [Range(5, 8), Range(8, 10), Range(10, 12), Range(12, 15)]


@pytest.mark.parametrize("name", everything())
def test_shares_follow_each_other_and_leave_nothing_out(name: str) -> None:
    layout = geometry.choose(everything()[name], H200)
    table = [plan.of_block(layout, block) for block in range(layout.blocks)]
    for what, count in plan.counts(layout).items():
        step = layout.pieces if what == plan.DOWN else 1
        shares = [warps[warp][what] for warps in table for warp in range(0, layout.warps, step)]
        assert shares[0].first == 0
        assert shares[-1].stop == count
        assert all(before.stop == after.first for before, after in pairwise(shares))


@pytest.mark.parametrize("name", everything())
def test_every_block_takes_part_in_every_exchange(name: str) -> None:
    """A block may overwrite a buffer because all blocks have sent something since they read it (docs/fused.md)."""
    layout = geometry.choose(everything()[name], H200)
    for block in range(layout.blocks):
        for what in (plan.QKV, plan.OUTPUT_PAIRS, plan.OUT, plan.PAIRS, plan.DOWN):
            assert any(warp[what].first < warp[what].stop for warp in plan.of_block(layout, block))


@pytest.mark.parametrize("name", everything())
def test_warps_with_pieces_of_the_same_rows_have_all_pieces(name: str) -> None:
    layout = geometry.choose(everything()[name], H200)
    for warps in (plan.of_block(layout, block) for block in range(layout.blocks)):
        for first in range(0, layout.warps, layout.pieces):
            assert len({warp[plan.DOWN] for warp in warps[first : first + layout.pieces]}) == 1


def test_the_table_has_the_ranges_in_the_kernels_order() -> None:
    layout = geometry.choose(everything()["tiny"], H200)
    table = plan.table(layout)
    assert (len(table), len(table[0]), len(table[0][0])) == (layout.blocks, layout.warps, len(plan.RANGES))
    share = plan.of_block(layout, 3)[2][plan.HEAD]
    assert table[3][2][plan.RANGES.index(plan.HEAD)] == [share.first, share.stop]
