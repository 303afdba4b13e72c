"""The card of a record, against the catalogue and against NVML's snapshots."""

import pytest

from tests.support.edits import all_of, put, times
from tests.support.records import cpu_record, example_record
from tests.support.verify import assert_named, assert_side, lines_about, sides

GB10 = {
    "bandwidth_gbs": 273.0,
    "compute_capability": "12.1",
    "memory_bytes": 128 * 10**9,
    "last_level_cache_bytes": 24 * 2**20,
}


def of_card(key, name, bandwidth_gbs, **figures):
    def edit(found):
        found["cell"]["gpu"] = found["request"]["gpu"] = key
        found["gpu"] |= {"key": key, "name": name, "bandwidth_gbs": bandwidth_gbs, **figures}

    return edit


def stranger(**figures):
    return of_card("x1", "NVIDIA X1", None, catalogued=False, **figures)


GB, GIB, MIB = 10**9, 2**30, 2**20


def card_memory(size):
    """The card's memory as CUDA counts it, and as NVML does in both snapshots."""
    moments = (put(f"snapshots.{moment}.memory_total_bytes", size) for moment in ("before", "after"))
    return all_of(put("gpu.memory_bytes", size), *moments)


BROKEN = {
    "a stranger that is called catalogued": (
        example_record,
        all_of(stranger(), put("gpu.catalogued", True)),
        "gpu.catalogued: true, but 'x1' is not in the catalogue",
    ),
    "a reading of a card that could not be queried": (
        cpu_record,
        put("snapshots.before.temperature_c", 0),
        "snapshots.before.temperature_c: 0, but the card could not be queried",
    ),
    "a stranger with a datasheet": (
        example_record,
        all_of(stranger(), put("gpu.bandwidth_gbs", 4800.0)),
        "gpu.bandwidth_gbs: 4800, but this card is not in the catalogue",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_a_rule_is_named(name):
    assert_named(*BROKEN[name])


HONEST = {
    "a card that nobody knows": (example_record, stranger()),
    "a Jetson, since NVML does not tell which": (
        example_record,
        of_card("orin-nvgpu", "Orin (nvgpu)", None, catalogued=False, compute_capability="8.7"),
    ),
    "a card whose cache no page states": (
        lambda: example_record(step_ms=80.0, gpu=GB10),
        all_of(
            of_card("gb10", "NVIDIA GB10", 273.0),
            put("passes.busy.steps_ms", times(14)),
            *(put(f"kernels.{row}.us", times(14)) for row in range(3)),
            put("prefill.ms", 80.0),
        ),
    ),
    "a card that does not tell its clocks": (
        example_record,
        all_of(
            *(put(f"snapshots.after.{name}_clock_max_mhz", None) for name in ("sm", "memory")),
            put("snapshots.after.memory_total_bytes", None),
        ),
    ),
    "no snapshot": (example_record, put("snapshots.before", lambda told: {**told, "memory_used_bytes": None})),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_session_is_right(name):
    make, edit = HONEST[name]
    assert lines_about(make(), edit) == []


# how a record is made and edited, the values that are right, those that are not, and how the line begins
TOLERANCES = {
    "least memory of a card": (
        example_record,
        card_memory,
        [int(0.901 * 141 * GB)],
        [int(0.899 * 141 * GB)],
        "gpu.mem",
    ),
    "most memory of a card": (example_record, card_memory, [141 * GIB], [141 * GIB + 1], "gpu.memory_bytes: "),
    "cache of a card": (
        example_record,
        lambda share: put("gpu.last_level_cache_bytes", int(60 * MIB * share)),
        [0.91, 1.09],
        [0.89, 1.11],
        "gpu.last_level_cache_bytes: ",
    ),
    "what a driver keeps": (
        example_record,
        lambda share: put("snapshots.after.memory_total_bytes", int(150_109_880_320 * share)),
        [1, 1.11],
        [0.9999, 1.12],
        "snapshots.after.memory_total_bytes: ",
    ),
    "used memory": (
        example_record,
        lambda size: put("snapshots.before.memory_used_bytes", size),
        [150_109_880_320],
        [150_109_880_321],
        "snapshots.before.memory_used_bytes: ",
    ),
    "clock of the memory": (
        example_record,
        lambda clock: put("snapshots.before.memory_clock_mhz", clock),
        [3201],
        [3202],
        "snapshots.before.memory_clock_mhz: ",
    ),
}


SIDES = sides(TOLERANCES)


@pytest.mark.parametrize("side", SIDES)
def test_a_tolerance_has_two_sides(side):
    assert_side(*SIDES[side])
