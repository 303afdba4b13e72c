"""A plan executed in NumPy gives a model's logits, in whatever order blocks go on; mutants of its arithmetic do not."""

import pytest
import torch

from tests.support import blockmutants, fusedcases
from tests.support.fusedinterpreter import Block

PIECES = {"pieces": 8}  # of four warps: two rounds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "start", "layout"),
    [
        ("tiny", 0, {}),
        ("tiny", 12, {}),
        ("tiny", 300, {}),  # five splits
        ("group-7", 100, {}),
        ("group-2", 100, PIECES),
        ("group-1", 15, {}),  # one query head for a key head, head_dim 128
        ("tied", 17, {}),
        ("llama", 100, {}),  # no bias, scaled angles
    ],
    ids=["first-steps", "tiny", "five-splits", "group-7", "two-rounds", "group-1", "tied", "llama"],
)
def test_logits_are_no_worse_than_trusted_eagers(name: str, start: int, layout: dict[str, int]) -> None:
    case = fusedcases.of(name, start)
    assert case.error(case.logits(**layout)) <= case.bound


@pytest.mark.slow
@pytest.mark.parametrize("late", [None, 0, 3, 63])
def test_the_order_of_blocks_changes_no_bit(late: int | None) -> None:
    case = fusedcases.of("tiny", 100)
    assert torch.equal(case.logits(seed=1000, late=late), case.logits())


FACTOR = 10


@pytest.mark.medium
@pytest.mark.parametrize(
    ("kind", "name", "start", "layout"),
    [
        (blockmutants.NewestDropped, "tiny", 12, {}),
        (blockmutants.OldestDropped, "tiny", 4, {}),
        (blockmutants.RotatedOffByOne, "tiny", 12, {}),
        (blockmutants.KeyHeadSwapped, "tiny", 12, {}),
        (blockmutants.WithoutBias, "tiny", 12, {}),
        (blockmutants.WithoutNorm, "tiny", 12, {}),
        (blockmutants.StaleInput, "tiny", 12, {}),
        (blockmutants.PieceSkipped, "group-2", 100, PIECES),
        (blockmutants.SplitLeftOut, "tiny", 100, {}),
        (blockmutants.EpochNotAwaited, "tiny", 12, {}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_a_mutant_of_the_arithmetic_misses_the_bound_by_ten(
    kind: type[Block], name: str, start: int, layout: dict[str, int]
) -> None:
    """The right interpreter's errors are 0.45 to 0.76 of the bound. The mildest mutant here has 17 times the bound."""
    case = fusedcases.of(name, start)
    assert case.error(case.logits(kind, **layout)) > FACTOR * case.bound
