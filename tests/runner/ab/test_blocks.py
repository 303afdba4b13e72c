"""Blocks of an A/B: balanced, each on one host, and as many as are wanted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.ab import arms, blocks, check, manifest
from runner.ab.manifest import SessionEntry
from runner.plan.request import Request

REQUEST = Request(gpu="cpu", model="tiny", ctx="64")


@pytest.mark.medium
@given(st.integers(1, 12), st.lists(st.sampled_from(["ok", "other host", "invalid"]), max_size=12))
def test_whatever_happens_complete_blocks_are_balanced_and_on_one_host(wanted: int, events: list[str]) -> None:
    pair = arms.pair(REQUEST, "cache", "dynamic", "static", ())
    grown, host_id, index = manifest.declare(pair, wanted, 0), "one", 0
    for _ in range(200):
        grown = blocks.with_open_block(grown, host_id, wanted)
        if grown.done >= wanted:
            break
        event = events.pop() if events else "ok"
        if event == "other host":
            host_id += "'"
            continue
        arm = grown.blocks[-1].next_arm
        grown = blocks.with_session(grown, SessionEntry(index, arm, str(index), "f", event == "ok", 0.0))
        index += 1
    assert grown.done >= wanted
    for block in grown.complete:
        arms_of = [entry.arm for entry in block.sessions]
        assert arms_of.count("a") == arms_of.count("b")
    assert blocks.remaining(grown, host_id, wanted) == {"a": 0, "b": 0}
    # and a check has nothing against an honest manifest
    told = [check._number_differences(grown), check._block_differences(grown), check._end_differences(grown)]
    assert [line for lines in told for line in lines] == []


def test_what_is_left_is_counted_for_each_arm() -> None:
    pair = arms.pair(REQUEST, "cache", "dynamic", "static", ())
    grown = blocks.with_open_block(manifest.declare(pair, 5, 0), "one", 5)
    assert blocks.remaining(grown, "one", 5) == {"a": 5, "b": 5}
    grown = blocks.with_session(grown, SessionEntry(0, "a", "0", "f", True, 0.0))
    assert blocks.remaining(grown, "one", 5) == {"a": 4, "b": 5}
    assert blocks.remaining(grown, "another", 5) == {"a": 5, "b": 5}


@pytest.mark.parametrize(
    ("requested", "done", "number", "orders"),
    [
        ((5,), 0, 0, ("abba",)),
        ((5,), 2, 1, ("baab",)),
        ((5,), 4, 2, ("ab",)),
        ((6,), 4, 2, ("abba",)),
        ((2, 3), 1, 1, ("ba", "baab")),  # one session of each arm is left of two, two of three
        ((3, 5), 3, 1, ("baab",)),
        ((3,), 3, 1, ()),
    ],
)
def test_the_leading_arm_alternates_and_the_last_block_is_as_long_as_what_is_left(
    requested: tuple[int, ...], done: int, number: int, orders: tuple[str, ...]
) -> None:
    assert blocks.possible_orders(requested, done, number) == orders


def test_a_block_with_an_invalid_session_or_of_another_host_is_not_gone_on_with() -> None:
    begun = blocks.with_open_block(
        manifest.declare(arms.pair(REQUEST, "cache", "dynamic", "static", ()), 5, 0), "one", 5
    )
    assert blocks.with_open_block(begun, "one", 5) == begun
    assert len(blocks.with_open_block(begun, "another", 5).blocks) == 2
    spoilt = blocks.with_session(begun, SessionEntry(0, "a", "0", "f", False, 0.0))
    assert [block.order for block in blocks.with_open_block(spoilt, "one", 5).blocks] == ["abba", "baab"]


def test_nothing_is_left_of_fewer_sessions_than_are_done_and_only_the_last_block_is_open() -> None:
    pair = arms.pair(REQUEST, "cache", "dynamic", "static", ())
    grown = blocks.with_open_block(manifest.declare(pair, 5, 0), "one", 5)
    for index, arm in enumerate("abba"):
        grown = blocks.with_session(grown, SessionEntry(index, arm, str(index), "f", True, 0.0))
    assert blocks.remaining(grown, "one", 1) == {"a": 0, "b": 0}
    grown = blocks.with_session(blocks.with_open_block(grown, "one", 5), SessionEntry(4, "b", "4", "f", True, 0.0))
    assert blocks.remaining(grown, "one", 5) == {"a": 3, "b": 2}
