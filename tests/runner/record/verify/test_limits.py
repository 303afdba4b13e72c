"""Every tolerance of `runner verify` has two sides: within it a record is right, beyond it the line names the place."""

import pytest

from runner.record.verify import recompute
from tests.runner.record.verify.edits import all_of, derived_again, put, times
from tests.support.records import cpu_record, example_record, packed_record

GB, GIB, MIB = 10**9, 2**30, 2**20
WEIGHTS = 15_231_233_024  # Qwen2.5-7B in bf16
KV_PER_TOKEN = 28 * 2 * 4 * 128 * 2  # layers, keys and values, heads, width, bytes
FLOOR_MS = 2.933  # (weights - embedding - 60 MiB of cache) / 4800 GB/s


def dynamic():
    return example_record(cell={"cache": "dynamic"})


def engine():
    return packed_record("gptq", "exllamav2", "fp16", 18.0, "exllamav2")


def holds_no_more():
    """Nothing is held beside weights and a static cache."""
    step = put("memory.held_bytes.step.allocator", WEIGHTS + 2112 * KV_PER_TOKEN)
    return all_of(put("memory.held_bytes.kernel.allocator", WEIGHTS), step)


def card_memory(size):
    """The card's memory as CUDA counts it, and as NVML does in both snapshots."""
    moments = (put(f"snapshots.{moment}.memory_total_bytes", size) for moment in ("before", "after"))
    return all_of(put("gpu.memory_bytes", size), *moments)


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


def busy_mean(over_ms):
    """The profiled steps are all so much longer than the rows' 3512.6 + 148.91 + 1208.4 us."""
    return put("passes.busy.steps_ms", [4.86991 + over_ms] * 30)


def long_kernel(spans):
    """One of the 841 kernels of a step takes so many of the longest profiled steps."""

    def edit(found):
        row = {"name": "long", "count": 1.0, "us": 1e3 * max(found["passes"]["busy"]["span_ms"]) * spans}
        found["kernels"][-1]["count"] -= 1
        found["kernels"].insert(0, row)

    return edit


def busy_step(share):
    """One profiled step was busy for so much of its span."""

    def edit(found):
        found["kernels"][-1]["us"] *= 10
        busy = found["passes"]["busy"]
        busy["steps_ms"][3] = busy["span_ms"][3] * share

    return edit


def span_of_floor(share):
    def edit(found):
        steps = found["passes"]["span"]["steps_ms"]
        found["passes"]["span"]["steps_ms"] = [step / 35.98 * found["floor"]["floor_ms"] * share for step in steps]

    return edit


def finished(later_ms):
    """The session ended later than its total cost says."""
    return put("session.finished_ms", lambda ms: ms + later_ms)


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
    # the 3 rows and the pass are rounded by 0.005 each
    "kernels in all rows": (
        example_record,
        lambda more: put("kernels.-1.count", 700 + more),
        [0.0195, -0.0195],
        [0.0205, -0.0205],
        "kernels: ",
    ),
    # by 0.005 us each, and a millionth of 4.87 ms
    "time in all rows": (example_record, busy_mean, [2.4e-5], [2.6e-5], "kernels: "),
    "one kernel in its step": (example_record, long_kernel, [1.004], [1.006], "kernels: "),
    "busy in a step": (example_record, busy_step, [1 + 5e-7], [1 + 2e-6], "passes.busy: kernels ran"),
    "speed of a pass": (example_record, span_of_floor, [1 / 1.015], [1 / 1.025], "passes.span: "),
}
SIDES = {
    f"{name}: {value}": (make, edit(value), line if value in beyond else None)
    for name, (make, edit, within, beyond, line) in TOLERANCES.items()
    for value in (*within, *beyond)
}


@pytest.mark.parametrize("side", SIDES)
def test_a_tolerance_has_two_sides(side):
    make, edit, line = SIDES[side]
    found = make()
    edit(found)
    said = recompute.differences(derived_again(found))
    if line is None:
        assert said == []
    else:
        assert any(one.startswith(line) for one in said), said


def test_the_middle_of_a_pass_is_held_against_the_floor():
    """One slow step hides nothing."""
    found = example_record()
    put("passes.span.steps_ms", times(0.01))(found)
    put("passes.span.steps_ms.-1", 300.0)(found)
    said = recompute.differences(derived_again(found))
    assert any(one.startswith("passes.span: 0.3598, less than the floor") for one in said), said
