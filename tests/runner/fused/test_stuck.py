"""The line that a stuck kernel leaves: what was awaited, where, and which of several warps is nearest to the cause."""

import pytest

from runner.fused import copytrace, stuck
from tests.support.cudasources import enumerators

LAYERS = 2
# written, awaited, layer, block, warp, expected, seen, multiprocessor; epochs of launch 3 begin with 3 · 2 · 2 = 12
NOTHING = (0,) * 8
COPY_OF_WO = (1, 0, 1, 1, 2, 56, 2, 17)
SLOT_OF_WO = (1, 1, 1, 1, 4, 56, 2, 17)
SLOT_AHEAD = (1, 1, 1, 3, 4, 71, 3, 9)  # in another block
BEFORE_ATTENTION = (1, 2, 1, 0, 0, 13, 12, 3)
BEFORE_MLP = (1, 2, 1, 0, 1, 14, 12, 3)
BEFORE_HEAD = (1, 2, 1, 0, 1, 15, 13, 3)
QUERIES = (1, 3, 0, 2, 3, 12, 10, 9)
PARTS = (1, 4, 0, 2, 3, 12, 10, 9)
ATTENTION = (1, 5, 0, 4, 0, 12, 10, 8)
ACTIVATIONS = (1, 6, 1, 5, 0, 14, 12, 8)
COPY_OF_WDOWN, SLOT_OF_WDOWN = (1, 0, 1, 5, 1, 80, 4, 8), (1, 1, 1, 5, 4, 80, 4, 8)
WRAPPED = (1, 2, 0, 0, 0, 4294967295, 4294967293, 3)


def test_every_wait_of_the_kernel_has_words() -> None:
    names = enumerators("Awaited", "waiting.cuh")
    assert len(names) == len(stuck.AWAITED)
    assert [getattr(stuck, name) for name in names] == list(range(len(names)))
    assert len(stuck.PHASES) == len(stuck.COPY_STAGES) == len(copytrace.PHASES)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (COPY_OF_WO, "a copy of Wo (layer 1, block 1, SM 17, warp 2: copy 56)"),
        (SLOT_OF_WO, "a free slot for a copy of Wo (layer 1, block 1, SM 17, warp 4: copy 56)"),
        (
            BEFORE_ATTENTION,
            "the residual stream before attention (layer 1, block 0, SM 3, warp 0: expected epoch 13, saw 12)",
        ),
        (BEFORE_MLP, "the residual stream before the MLP (layer 1, block 0, SM 3, warp 1: expected epoch 14, saw 12)"),
        (
            BEFORE_HEAD,
            "the residual stream before the head (layer 1, block 0, SM 3, warp 1: expected epoch 15, saw 13)",
        ),
        (PARTS, "the parts of attention (layer 0, block 2, SM 9, warp 3: expected epoch 12, saw 10)"),
        (
            WRAPPED,
            "the residual stream before attention (layer 0, block 0, SM 3, warp 0: expected epoch 4294967295, saw "
            "4294967293)",
        ),
    ],
)
def test_a_line_names_the_place(line: tuple[int, ...], said: str) -> None:
    assert stuck.place([NOTHING, line, NOTHING], LAYERS) == f"the fused step waited too long for {said}"


def test_nothing_is_said_while_no_warp_gave_up() -> None:
    assert stuck.place([NOTHING, NOTHING], LAYERS) is None


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        ([BEFORE_MLP, SLOT_AHEAD, COPY_OF_WO, SLOT_OF_WO], "a free slot for a copy of Wo"),
        ([BEFORE_MLP, SLOT_AHEAD, COPY_OF_WO], "a copy of Wo"),
        ([SLOT_AHEAD, BEFORE_MLP], "the residual stream before the MLP"),
        ([BEFORE_HEAD, ACTIVATIONS], "activations"),
        ([COPY_OF_WDOWN, SLOT_OF_WDOWN, ACTIVATIONS], "activations"),
        ([ATTENTION, PARTS], "the parts of attention"),
        ([PARTS, QUERIES, BEFORE_ATTENTION], "queries, keys and values"),
        ([SLOT_AHEAD], "a free slot for a copy of Wgate and Wup"),
    ],
)
def test_of_all_warps_that_wait_the_one_that_came_least_far_counts(lines: list[tuple[int, ...]], cause: str) -> None:
    said = stuck.place(lines, LAYERS)
    assert said is not None
    assert said.startswith(f"the fused step waited too long for {cause} (")
