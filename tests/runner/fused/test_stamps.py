"""Clocks by phase, from synthetic stamps in which each interval has a length of its own."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from runner.fused import compiled, geometry, stamps
from runner.fused.geometry import Geometry
from tests.support.cudasources import enumerators
from tests.support.fusedshapes import H200, of_catalogue

START, HEAD_NORM, HEAD, CHOICE = 40, 7, 900, 60
IN_LAYER = (10, 100, 30, 20, 5, 50, 11, 500, 300)  # clocks between places 0 and 9
TO_NEXT_LAYER = 2
PHASE_OF_CALL = {
    "residual::normed(": "exchanges",
    "send_qkv(block": "qkv",
    "attention::split(": "attention",
    "attention::join_splits(": "attention",
    "attention::gather_outputs(": "exchanges",
    "(block, plan::OUT,": "out",
    "mlp::gate_up(": "gate_up",
    "mlp::down(": "down",
}
LAYOUT = replace(geometry.choose(of_catalogue()["tiny"], H200), blocks=2)  # of two layers


def written(layout: Geometry, slower: int = 1) -> list[int]:
    """Returns the stamps that blocks would leave; all intervals of block 1 are longer by a factor."""
    found: list[int] = []
    for block in range(layout.blocks):
        factor = slower if block else 1
        now, rows = 1_000_000 * (block + 1), []  # multiprocessors have clocks of their own
        outside = [now]
        now += factor * START
        for layer in range(layout.shape.layers):
            row = [now]
            for clocks in IN_LAYER:
                row.append(row[-1] + factor * clocks)
            is_last = layer + 1 == layout.shape.layers
            now = row[-1] + factor * (HEAD_NORM if is_last else TO_NEXT_LAYER)
            rows.append(row)
        outside += [now, now + factor * HEAD, now + factor * (HEAD + CHOICE)]
        for row in (*rows, outside):
            found += row + [0] * (stamps.PLACES - len(row))
    return found


def test_each_interval_counts_in_its_phase() -> None:
    # 40 to the start, in two layers 10 + 5 + 11 and 2 between them, 7 before the head, and 60 for the choice
    assert stamps.clocks_by_phase(written(LAYOUT), LAYOUT) == {
        "qkv": 2 * 100,
        "attention": 2 * (30 + 20),
        "out": 2 * 50,
        "gate_up": 2 * 500,
        "down": 2 * 300,
        "head": 900,
        "exchanges": 40 + 2 * (10 + 5 + 11) + 2 + 7 + 60,
    }


def test_blocks_count_alike_but_the_first_one_chooses() -> None:
    one, both = (stamps.clocks_by_phase(written(LAYOUT, slower), LAYOUT) for slower in (1, 3))
    for phase in stamps.PHASES:
        choice = CHOICE if phase == stamps.EXCHANGES else 0
        assert both[phase] == pytest.approx(2 * (one[phase] - choice) + choice)  # the mean of 1 and 3


def test_the_phases_add_up_to_the_time_of_a_block() -> None:
    found = written(LAYOUT)
    whole = found[2 * stamps.PLACES + 3] - found[2 * stamps.PLACES]  # block 0: from its start to the chosen token
    assert sum(stamps.clocks_by_phase(found, LAYOUT).values()) == whole


def test_there_is_a_stamp_for_each_layer_and_outside_of_them() -> None:
    assert stamps.words(LAYOUT) == len(written(LAYOUT)) == 2 * 3 * 16
    assert enumerators("Outside", "instruments.cuh") == [name.upper() for name in stamps.OUTSIDE]


def test_the_kernel_leaves_its_stamps_around_the_calls_of_each_phase() -> None:
    text = (compiled.SOURCES / "step.cu").read_text()
    places = re.split(r"block\.passes\((\d)\);", text)
    assert [int(place) for place in places[1::2]] == list(range(len(stamps.BETWEEN_PLACES) + 1))
    between = [[phase for call, phase in PHASE_OF_CALL.items() if call in part] for part in places[2:-1:2]]
    assert between == [[phase] for phase in stamps.BETWEEN_PLACES]
