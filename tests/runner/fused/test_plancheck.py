"""The checker passes the plan of every shape, and finds each planted fault. The interpreter fails with each, too."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.fused import geometry, plancheck, stepplan
from runner.fused.geometry import Card
from runner.fused.stepplan import StepPlan
from tests.support import fusedcases, planfaults
from tests.support.fusedmemory import Stuck
from tests.support.fusedshapes import A100, H200, everything, odd, on_two_cards

CACHE_ROWS = 3000
FOUND = {
    "piece-left-out": "down: not every byte is read exactly once",
    "piece-read-twice": "down: not every byte is read exactly once",
    "rows-swapped": "block 3, layer, slot 0: Copy(tensor='query', offset=3328, size=256, warp=0) instead of",
    "gate-and-up-swapped": "block 3, layer, slot 6: Copy(tensor='up', offset=3072, size=256, warp=0) instead of",
    "head-range-doubled": "head: not every byte is read exactly once",
    "output-range-doubled": "join: two blocks send the same packets of attention",
    "oldest-token-left-out": "keys of head 0: not every older token is read exactly once",
    "tile-of-another-head": "block 0, layer, slot 4: Copy(tensor='keys', offset=25600",
    "phases-reordered": "out may overwrite hidden before another block has gathered it",
    "gathered-too-early": "gate_up gathers packets of hidden in an epoch in which no block sends them",
    "gathered-too-late": "qkv gathers packets of hidden in an epoch in which no block sends them",
    "block-without-share": "out may overwrite hidden before another block has gathered it",
}


def tiny_plan(tokens: int = 12, cache_rows: int = CACHE_ROWS) -> StepPlan:
    return stepplan.make(geometry.choose(everything()["tiny"], H200), tokens, cache_rows)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "card"), list(on_two_cards()))
def test_the_plan_of_every_shape_has_no_fault(name: str, card: Card) -> None:
    assert plancheck.problems(stepplan.make(geometry.choose(everything()[name], card), 2048, CACHE_ROWS)) == []


@pytest.mark.medium
@pytest.mark.parametrize("name", ["tiny", *odd()])
def test_the_plan_of_small_shapes_on_an_a100_has_no_fault(name: str) -> None:
    assert plancheck.problems(stepplan.make(geometry.choose(everything()[name], A100), 2048, CACHE_ROWS)) == []


@pytest.mark.medium
@pytest.mark.parametrize("tokens", [0, 1, 15, 16, 17, 300])
@pytest.mark.parametrize("name", ["tiny", *odd()])
def test_the_plan_of_every_context_has_no_fault(name: str, tokens: int) -> None:
    assert plancheck.problems(stepplan.make(geometry.choose(everything()[name], H200), tokens, CACHE_ROWS)) == []


@pytest.mark.medium
@pytest.mark.parametrize("pieces", [2, 4, 8])
def test_rows_in_several_pieces_and_rounds_have_no_fault(pieces: int) -> None:
    layout = replace(geometry.choose(everything()["group-2"], H200), pieces=pieces)  # four warps: eight need two rounds
    assert plancheck.problems(stepplan.make(layout, 100, CACHE_ROWS)) == []


@pytest.mark.medium
@pytest.mark.parametrize("name", planfaults.FAULTS)
def test_a_planted_fault_is_found(name: str) -> None:
    found = plancheck.problems(planfaults.FAULTS[name](tiny_plan(cache_rows=fusedcases.CACHE_ROWS)))
    assert any(line.startswith(FOUND[name]) for line in found), found


@pytest.mark.medium
@pytest.mark.parametrize("name", planfaults.FAULTS)
def test_the_interpreter_fails_with_a_planted_fault(name: str) -> None:
    """Either no block can go on, or the logits are wrong: at least five times the bound for the mildest fault."""
    case = fusedcases.of("tiny", 12)
    try:
        logits = case.logits(change=planfaults.FAULTS[name], late=planfaults.BLOCK)
    except Stuck:
        return
    assert case.error(logits) > 5 * case.bound


FEW_BLOCKS = stepplan.make(geometry.choose(everything()["group-2"], Card(6, H200.shared_bytes)), 300, CACHE_ROWS)
SLOTS = min(len(share.layer) for share in FEW_BLOCKS.shares)


@pytest.mark.medium
@settings(max_examples=60)
@given(block=st.integers(0, 5), places=st.sets(st.integers(0, SLOTS - 1), min_size=2, max_size=2), data=st.data())
def test_any_change_of_a_tape_is_found(block: int, places: set[int], data: st.DataObject) -> None:
    """A copy is left out, comes twice, changes places with another one, begins elsewhere or has another warp."""
    share, (first, second) = FEW_BLOCKS.shares[block], sorted(places)
    tape = list(share.layer)
    before, behind = tape[first], tape[second]
    changed = data.draw(
        st.sampled_from(
            [
                tape[:first] + tape[first + 1 :],
                [*tape[:first], before, *tape[first:]],
                [*tape[:first], behind, *tape[first + 1 : second], before, *tape[second + 1 :]],
                [*tape[:first], before._replace(offset=before.offset + 16), *tape[first + 1 :]],
                [*tape[:first], before._replace(warp=before.warp ^ 1), *tape[first + 1 :]],
            ]
        )
    )
    shares = list(FEW_BLOCKS.shares)
    shares[block] = replace(share, layer=tuple(changed))
    assert plancheck.problems(replace(FEW_BLOCKS, shares=tuple(shares)))


def with_other_warp(step: StepPlan) -> StepPlan:
    share = step.shares[3]
    moved = share.layer[0]._replace(warp=share.layer[0].warp + 1)
    shares = (*step.shares[:3], replace(share, layer=(moved, *share.layer[1:])), *step.shares[4:])
    return replace(step, shares=shares)


def with_layout(step: StepPlan, **change: int) -> StepPlan:
    return replace(step, geometry=replace(step.geometry, **change))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (with_other_warp, "block 3, layer, slot 0: Copy(tensor='query', offset=3072, size=256, warp=1) instead of"),
        (lambda step: with_layout(step, slots=9), "9 slots: a slot has more than one of 2 fillers"),
        (lambda step: with_layout(step, slots=2), "block 0: a warp may wait for a slot whose round is two ahead"),
        (lambda step: with_layout(step, slots=114), "a block needs 2"),
        (lambda step: with_layout(step, slot_bytes=128), "a copy is longer than a slot of 128 bytes"),
    ],
    ids=["another-warp", "odd-slots", "few-slots", "many-slots", "small-slots"],
)
@pytest.mark.medium
def test_a_fault_that_only_the_card_would_show_is_found(change: Callable[[StepPlan], StepPlan], line: str) -> None:
    """The interpreter has no warps that run at the same time, and as much memory as it likes."""
    found = plancheck.problems(change(tiny_plan()))
    assert any(each.startswith(line) for each in found), found
