"""The line that a stuck kernel leaves: what was awaited, where, and which of several warps is nearest to the cause."""

import pytest

from runner.fused import copytrace, stuck
from tests.support.cudasources import enumerators

# written, awaited, layer, block, warp, expected, seen, multiprocessor
COPY = (1, 0, 0, 1, 2, 41, 3, 17)
SLOT = (1, 1, 1, 1, 4, 57, 5, 17)
ATTENTION_INPUT = (1, 2, 1, 0, 0, 4294967295, 4294967293, 3)
MLP_INPUT = (1, 2, 1, 0, 1, 6, 5, 3)
PARTS = (1, 4, 0, 2, 3, 4, 2, 9)
NOTHING = (0,) * 8


def test_every_wait_of_the_kernel_has_words() -> None:
    names = enumerators("Awaited", "waiting.cuh")
    assert len(names) == len(stuck.AWAITED)
    assert names[:3] == ["COPY", "SLOT", "HIDDEN_STATE"]
    assert len(stuck.PHASES) == len(copytrace.PHASES)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (COPY, "a copy of Wgate and Wup (layer 0, block 1, SM 17, warp 2: copy 41)"),
        (SLOT, "a free slot for a copy of the head (layer 1, block 1, SM 17, warp 4: copy 57)"),
        (
            ATTENTION_INPUT,
            "the residual stream before attention or the head (layer 1, block 0, SM 3, warp 0: expected epoch "
            "4294967295, saw 4294967293)",
        ),
        (
            MLP_INPUT,
            "the residual stream before the MLP (layer 1, block 0, SM 3, warp 1: expected epoch 6, saw 5)",
        ),
        (PARTS, "the parts of attention (layer 0, block 2, SM 9, warp 3: expected epoch 4, saw 2)"),
    ],
)
def test_a_line_names_the_place(line: tuple[int, ...], said: str) -> None:
    assert stuck.place([NOTHING, line, NOTHING]) == f"the fused step waited too long for {said}"


def test_nothing_is_said_while_no_warp_gave_up() -> None:
    assert stuck.place([NOTHING, NOTHING]) is None


@pytest.mark.parametrize(
    ("lines", "nearest"),
    [
        ([PARTS, COPY, SLOT], "a free slot"),
        ([MLP_INPUT, COPY], "a copy of Wgate"),
        ([MLP_INPUT, PARTS], "the parts of attention"),
    ],
)
def test_of_several_warps_the_one_nearest_to_the_cause_counts(lines: list[tuple[int, ...]], nearest: str) -> None:
    said = stuck.place(lines)
    assert said is not None
    assert f"waited too long for {nearest}" in said
