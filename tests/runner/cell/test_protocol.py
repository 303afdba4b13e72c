"""Protocols: their counts, and the least that each may have."""

import pytest

from runner.cell import protocol
from runner.cell.jsonform import from_json, to_json
from runner.cell.protocol import Protocol
from runner.cell.vocabulary import CACHES
from runner.errors import BadValue


def test_the_named_protocols_are_the_papers_and_two_that_state_a_p99():
    assert {name: (one.warmup, one.steps, one.windows) for name, one in protocol.NAMED.items()} == {
        "paper": (5, 30, 1),
        "tail": (5, 300, 1),
        "tail-long": (5, 300, 10),
    }


@pytest.mark.parametrize(
    ("counts", "others"),
    [
        (protocol.NAMED["paper"], 30),
        (protocol.NAMED["tail"], 30),
        (protocol.NAMED["tail-long"], 30),
        (Protocol("custom", 5, 600), 600),
        (Protocol("custom", 5, 600, windows=10), 30),
        (Protocol("custom", 5, 12, windows=10), 12),
    ],
)
def test_a_protocol_for_tails_has_a_long_wall_pass_and_short_other_ones(counts, others):
    assert counts.other_steps == others


def test_a_single_window_has_the_name_of_its_pass_and_leaves_no_trace_in_json():
    assert protocol.NAMED["tail"].wall_windows == ("wall",)
    assert to_json(protocol.NAMED["tail"]) == {"name": "tail", "warmup": 5, "steps": 300}
    assert Protocol("custom", 5, 30, windows=2).wall_windows == ("wall window 1", "wall window 2")
    long = {"name": "tail-long", "warmup": 5, "steps": 300, "windows": 10}
    assert to_json(protocol.NAMED["tail-long"]) == long
    assert from_json(Protocol, long) == protocol.NAMED["tail-long"]


def test_a_protocol_has_a_short_title_and_its_counts_in_words():
    assert [counts.title for counts in protocol.NAMED.values()] == ["paper-5-30", "tail-5-300", "tail-long-5-10x300"]
    assert protocol.NAMED["paper"].counts == "5 warm-up and 30 timed steps"
    assert protocol.NAMED["tail-long"].counts == "5 warm-up and 300 timed steps in each of 10 windows"
    assert (protocol.NAMED["paper"].timed, protocol.NAMED["tail-long"].timed) == ("30 steps", "10 windows of 300 steps")


@pytest.mark.parametrize("name", protocol.NAMED)
@pytest.mark.parametrize("cache", CACHES)
def test_only_one_window_of_a_growing_cache_can_be_timed(name, cache):
    refused = (name, cache) == ("tail-long", "dynamic")
    assert bool(protocol.NAMED[name].refuses(cache)) is refused


@pytest.mark.parametrize("percent", protocol.TAIL_STEPS)
def test_a_tail_needs_as_many_steps_as_leave_one_in_twenty_without_an_excess(percent):
    fewest = protocol.TAIL_STEPS[percent]
    assert (percent / 100) ** fewest <= 0.05 < (percent / 100) ** (fewest - 1)


@pytest.mark.parametrize(
    ("name", "warmup", "steps", "chosen"),
    [
        ("paper", None, None, Protocol("paper", 5, 30)),
        ("paper", 5, 30, Protocol("paper", 5, 30)),
        ("paper", 1, None, Protocol("custom", 1, 30)),
        ("paper", None, 3, Protocol("custom", 5, 3)),
        ("tail", None, 29, Protocol("custom", 5, 29)),
        ("paper", 0, None, None),
        ("paper", None, 2, None),
        ("tail", None, 28, None),
        ("tail", None, 600, Protocol("custom", 5, 600)),
        ("tail-long", None, None, Protocol("tail-long", 5, 300, windows=10)),
        ("tail-long", None, 3, Protocol("custom", 5, 3, windows=10)),  # 30 steps in all
        ("tail-long", None, 2, None),
    ],
)
def test_the_least_counts(name, warmup, steps, chosen):
    if chosen is None:
        with pytest.raises(BadValue):
            protocol.choose(name, warmup, steps)
    else:
        assert protocol.choose(name, warmup, steps) == chosen
