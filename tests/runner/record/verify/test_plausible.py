"""Times, memory and probes of a record, against what is possible and against each other."""

import pytest

from runner.record.verify import recompute
from tests.support.edits import all_of, drop, put
from tests.support.fusedrecords import fused_record
from tests.support.records import QWEN_7B, cpu_record, example_record, held, packed_record
from tests.support.verify import (
    WEIGHTS,
    assert_named,
    assert_side,
    dynamic,
    engine,
    lines_about,
    lines_with_given_keys,
    on_cpu,
    right,
    sides,
)

KV_PER_TOKEN = 28 * 2 * 4 * 128 * 2  # layers, keys and values, heads, width, bytes


FLOOR_MS = 2.933  # (weights - embedding - 60 MiB of cache) / 4800 GB/s


def small_model():
    """One that the catalogue does not have, and that fits into the card's cache: 27 MB."""
    shape = {**QWEN_7B, "layers": 2, "hidden": 896, "heads": 14, "kv_heads": 2, "head_dim": 64, "intermediate": 1024}
    changed = {"name": "mine", "shape": {**shape, "vocab": 4096}}
    found = example_record(cell={"model": "mine"}, request={"model": "mine"}, model=changed)
    assert found["bytes"]["weights"] < 40e6
    found["memory"]["held_bytes"] = {
        stage: {"allocator": size, "device": 50_000_000}
        for stage, size in (("weights", 40_000_000), ("kernel", 40_000_000), ("step", 44_000_000))
    }
    return found


def holds_no_more():
    """Nothing is held beside weights and a static cache."""
    step = put("memory.held_bytes.step.allocator", WEIGHTS + 2112 * KV_PER_TOKEN)
    return all_of(put("memory.held_bytes.kernel.allocator", WEIGHTS), step)


def steps_cost(ms_left_out):
    """The phase of the timed passes is so much shorter than the passes."""

    def edit(found):
        passes = found["passes"]
        timed = (
            *passes["wall"]["steps_ms"],
            *passes["span"]["steps_ms"],
            passes["rate"]["total_ms"],
            *passes["busy"]["span_ms"],
        )
        found["cost_s"]["steps"] = (sum(timed) - ms_left_out) / 1e3

    return edit


def phases_cost(over_s):
    """All phases together are so much longer than the total."""

    def edit(found):
        costs = found["cost_s"]
        others = sum(seconds for phase, seconds in costs.items() if phase not in ("total", "fixed", "build"))
        costs["build"] = costs["total"] - others + over_s

    return edit


def finished(later_ms):
    """The session ended later than its total cost says."""
    return put("session.finished_ms", lambda ms: ms + later_ms)


# what is falsified in which record, and how the line begins that names it
LIES = [
    (example_record, drop("memory.held_bytes"), "memory.held_bytes: missing"),
    (on_cpu, put("memory.held_bytes", held(1)), "memory.held_bytes: present, but no session of this kind counts them"),
    (
        example_record,
        put("memory.held_bytes.weights.allocator", 1),
        "memory.held_bytes.weights: 1, less than the weights",
    ),
    (
        example_record,
        put("memory.held_bytes.step.allocator", 10**11),
        "memory.held_bytes.step: 100000000000, more than",
    ),
    (
        engine,
        put("actual.settings.scratch_bytes", "n/a"),
        "actual.settings.scratch_bytes: 'n/a' is not a number of bytes",
    ),
    (example_record, put("cost_s", {"prefill": 0.4, "steps": 6.2, "total": 21.0}), "cost_s: without probe, build"),
    (example_record, put("session.finished_ms", 1), "session.finished_ms: before session.started_ms"),
    (example_record, put("probes.read_bytes", 1), "probes.read_bytes: 1, less than 16 times the cache"),
]


@pytest.mark.parametrize(("make", "falsify", "line"), LIES, ids=[line for _, _, line in LIES])
def test_a_falsified_record_is_named_even_when_all_that_follows_was_derived_again(make, falsify, line):
    lines = lines_with_given_keys(right(make), falsify)
    assert any(said.startswith(line) for said in lines), lines


BROKEN = {
    **{
        f"no cost of {phase}": (example_record, drop(f"cost_s.{phase}"), f"cost_s: without {phase}")
        for phase in ("probe", "build", "reference", "verify")
    },
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_a_rule_is_named(name):
    assert_named(*BROKEN[name])


HONEST = {
    "a host that does not tell its memory": (cpu_record, put("host.memory_bytes", 0)),
    "a model that nobody knows, in the card's cache": (
        small_model,
        all_of(put("prefill.ms", 0.001), put("prefill.cold_ms", 0.001), put("passes.rate.total_ms", 0.1)),
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_session_is_right(name):
    make, edit = HONEST[name]
    assert lines_about(make(), edit) == []


# how a record is made and edited, the values that are right, those that are not, and how the line begins
TOLERANCES = {
    "peak of a static cache": (
        example_record,
        lambda size: all_of(holds_no_more(), put("memory.peak_bytes", size)),
        [WEIGHTS + 2112 * KV_PER_TOKEN],
        [WEIGHTS + 2112 * KV_PER_TOKEN - 1],
        "memory.peak_bytes: ",
    ),
    "peak of a growing cache": (
        dynamic,
        lambda size: put("memory.peak_bytes", size),
        [WEIGHTS + 2048 * KV_PER_TOKEN],
        [WEIGHTS + 2048 * KV_PER_TOKEN - 1],
        "memory.peak_bytes: ",
    ),
    "peak on a card with more memory than its host": (
        example_record,
        lambda size: put("memory.peak_bytes", size),
        [150_109_880_320],
        [150_109_880_321],
        "memory.peak_bytes: ",
    ),
    "peak on a CPU": (
        cpu_record,
        lambda size: put("memory.peak_bytes", size),
        [137_438_953_472],
        [137_438_953_473],
        "memory.peak_bytes: ",
    ),
    "what is held, and the peak": (
        example_record,
        lambda size: put("memory.held_bytes.step.allocator", size),
        [18_250_000_000],
        [18_250_000_001],
        "memory.held_bytes.step: ",
    ),
    "what is held of the weights": (
        example_record,
        lambda size: put("memory.held_bytes.weights.allocator", size),
        [WEIGHTS],
        [WEIGHTS - 1],
        "memory.held_bytes.weights: ",
    ),
    "what a kernel holds": (
        example_record,
        lambda size: all_of(holds_no_more(), put("memory.held_bytes.kernel.allocator", size)),
        [WEIGHTS],
        [WEIGHTS - 1],
        "memory.held_bytes.kernel: ",
    ),
    "what a kernel holds of packed weights": (
        lambda: packed_record("awq", "marlin"),
        lambda share: put("memory.held_bytes.kernel.allocator", lambda size: int((size - 4_000_000) * share)),
        [0.951],
        [0.949],
        "memory.held_bytes.kernel: ",
    ),
    "what is held of a static cache": (
        example_record,
        lambda less: all_of(holds_no_more(), put("memory.held_bytes.step.allocator", lambda size: size - less)),
        [0],
        [1],
        "memory.held_bytes.step: ",
    ),
    "scratch of an engine": (
        engine,
        lambda said: put("actual.settings.scratch_bytes", said),
        ["0", "123456"],
        ["1e3", "-1"],
        "actual.settings.scratch_bytes: ",
    ),
    "bytes that the probe reads": (
        example_record,
        lambda size: put("probes.read_bytes", size),
        [16 * 62_914_560],
        [16 * 62_914_560 - 1],
        "probes.read_bytes: ",
    ),
    "one sample of the probe": (
        example_record,
        lambda share: put("probes.read_samples_gbs.2", 4800 * share),
        [1.019],
        [1.021],
        "probes.read_samples_gbs: ",
    ),
    "prefill": (
        example_record,
        lambda share: put("prefill.ms", FLOOR_MS * share),
        [1 / 1.019],
        [1 / 1.021],
        "prefill.ms: ",
    ),
    "phases within the total": (example_record, phases_cost, [0.99], [1.01], "cost_s: "),
    "both prefills in their phase": (
        example_record,
        lambda seconds: put("cost_s.prefill", seconds),
        [0.4238],
        [0.4237],
        "cost_s.prefill: ",
    ),
    "timed passes in their phase": (example_record, steps_cost, [49], [51], "cost_s.steps: "),
    "end of the session": (example_record, finished, [990, -990], [1010, -1010], "session.finished_ms: "),
    "first snapshot": (
        example_record,
        lambda ms: lambda found: put("snapshots.before.taken_ms", found["session"]["started_ms"] + ms)(found),
        [0],
        [-1],
        "snapshots: ",
    ),
    "last snapshot": (
        example_record,
        lambda ms: lambda found: put("snapshots.after.taken_ms", found["session"]["finished_ms"] + ms)(found),
        [0],
        [1],
        "snapshots: ",
    ),
}


SIDES = sides(TOLERANCES)


@pytest.mark.parametrize("side", SIDES)
def test_a_tolerance_has_two_sides(side):
    assert_side(*SIDES[side])


def test_a_session_that_took_longer_than_its_costs_is_named_with_its_seconds():
    found = example_record()
    took_s = (found["session"]["finished_ms"] - found["session"]["started_ms"]) / 1e3 + 5
    finished(5000)(found)
    (line,) = recompute.differences(found)
    assert line.startswith(f"session.finished_ms: {took_s:g} s after session.started_ms, but cost_s.total is ")


def test_a_session_that_ends_before_it_began_is_named_once():
    found = example_record()
    put("session.finished_ms", 1)(found)
    assert recompute.differences(found) == ["session.finished_ms: before session.started_ms"]


HELD = 15_406_365_696


def both_peaks(size):
    return all_of(
        put("memory.held_bytes.step.allocator", HELD),
        put("memory.peak_bytes", size),
        put("memory.steps_peak_bytes", size),
    )


# HELD with the step built, 2**28 B uncounted, and twice the activations of a prefill to 2048: 2048 tokens
# of 4 * 3584 + 2 * (3584 + 512) + 3 * 18944 values, 2 * 3584 * 2048 values repeated for all heads, a mask of 2048 ** 2,
# and 152064 logits, of two bytes each: 2 * 363111424 B
MOST = HELD + 2**28 + 2 * 363_111_424


def test_the_peak_of_a_fused_step_may_be_twice_the_estimate_above_what_it_holds():
    assert lines_about(fused_record(), both_peaks(MOST)) == []


def test_a_larger_peak_of_a_fused_step_is_named_at_each_place():
    places = ("memory.peak_bytes", "memory.steps_peak_bytes")
    line = f"{MOST + 10**6:g}, more than the built step and its prefill take ({MOST:g})"
    assert lines_about(fused_record(), both_peaks(MOST + 10**6)) == [f"{place}: {line}" for place in places]


def test_the_peak_of_another_step_may_be_of_any_size():
    assert lines_about(example_record(), put("memory.peak_bytes", 10**11)) == []
