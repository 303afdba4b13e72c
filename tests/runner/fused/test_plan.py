"""Ranges of blocks: together they are everything, once."""

from itertools import pairwise

import pytest

from runner.fused import geometry, plan
from tests.support.fusedshapes import H200, everything


@pytest.mark.parametrize("name", everything())
def test_shares_follow_each_other_and_leave_nothing_out(name: str) -> None:
    layout = geometry.choose(everything()[name], H200)
    blocks = [plan.of_block(layout, block) for block in range(layout.blocks)]
    for what, count in plan.counts(layout).items():
        shares = [ranges[what] for ranges in blocks]
        assert shares[0].first == 0
        assert shares[-1].stop == count
        assert all(before.stop == after.first for before, after in pairwise(shares))
        assert max(share.count for share in shares) - min(share.count for share in shares) <= 1


@pytest.mark.parametrize("name", everything())
def test_every_block_takes_part_in_every_exchange(name: str) -> None:
    """A block may overwrite a buffer because all blocks have sent something since they read it (docs/fused.md)."""
    layout = geometry.choose(everything()[name], H200)
    for block in range(layout.blocks):
        ranges = plan.of_block(layout, block)
        assert all(ranges[what].count for what in (plan.QKV, plan.OUTPUT_PAIRS, plan.ROWS, plan.PAIRS))


def test_the_table_has_the_ranges_in_the_kernels_order() -> None:
    layout = geometry.choose(everything()["tiny"], H200)
    table = plan.table(layout)
    assert (len(table), len(table[0])) == (layout.blocks, len(plan.RANGES))
    share = plan.of_block(layout, 3)[plan.HEAD]
    assert table[3][plan.RANGES.index(plan.HEAD)] == [share.first, share.stop]
