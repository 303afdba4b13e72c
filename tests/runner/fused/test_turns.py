"""Turns of warps, slot by slot. That the tape has what they count, test_plancheck holds."""

from dataclasses import replace

from runner.fused import exchanges, geometry, stepplan, turns
from tests.support.fusedshapes import H200, everything

LAYOUT = geometry.choose(everything()["group-2"], H200)  # 4 warps, 128 blocks; 520 / 2 pairs of rows, 264 rows


def test_two_rows_go_to_a_warp_and_the_next_two_to_the_next() -> None:
    share = stepplan.make(LAYOUT, 0, 100).shares[-1]
    takes = turns.of_head(LAYOUT, share)  # 999 rows for 128 blocks: the last has 8, from 991 on
    assert [(take.slot, take.warp, take.row) for take in takes] == [(n, n // 2, 991 + n) for n in range(8)]


def test_gate_and_up_alternate_and_pairs_of_rows_stay_in_a_warp() -> None:
    share = stepplan.make(LAYOUT, 0, 100).shares[-1]
    takes = turns.of_layer(LAYOUT, share)[exchanges.GATE_UP]  # 260 pairs for 128 blocks: the last has 3, from 257 on
    assert [(take.matrix, take.row, take.warp) for take in takes[:4]] == [
        *(("gate", 514, 0), ("up", 514, 0), ("gate", 516, 1), ("up", 516, 1)),
    ]
    assert [(take.matrix, take.row, take.warp) for take in takes[6:8]] == [("gate", 515, 0), ("up", 515, 0)]


def test_a_warp_has_the_same_piece_of_all_its_rows() -> None:
    layout = replace(LAYOUT, pieces=8)  # two rounds of four pieces
    share = stepplan.make(layout, 0, 100).shares[-1]
    takes = turns.of_layer(layout, share)[exchanges.DOWN]  # 264 rows for 128 blocks: the last has 3, from 261 on
    assert {take.warp for take in takes if take.piece == 5} == {1}
    assert [(take.row, take.piece) for take in takes[:9]] == [
        *((261, 0), (262, 0), (261, 1), (262, 1), (261, 2), (262, 2), (261, 3), (262, 3), (263, 0)),
    ]
