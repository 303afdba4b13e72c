"""The numbers of a record that follow from its raw values, each by arithmetic."""

import pytest

from runner.record.derive import cost
from tests.support.derive import derive
from tests.support.records import example_record

STEPS = [10.0, 20.0, 60.0] * 10  # median 20, mean 30


def derived(**passes):
    """A record of a growing cache with these steps in its passes."""
    found = example_record(cell={"cache": "dynamic"})
    for name, values in passes.items():
        found["passes"][name] |= values
    derive(found)
    return found


def test_bytes_by_hand():
    counted = derived()["bytes"]
    assert counted["weights"] == 15_231_233_024
    assert counted["embedding"] == 152_064 * 3_584 * 2
    assert counted["kv"] == 2_048 * 57_344
    assert counted["kv_alloc_tokens"] == 2_112  # 2048 + 5 + 30 rounded up to 64
    assert counted["paper"] == 15_231_233_024 + 117_440_512
    assert counted["streamed"] == 15_231_233_024 - 1_089_994_752 + 117_440_512
    assert counted["touched"] == counted["streamed"]
    static = example_record()["bytes"]
    assert static["touched"] == 15_231_233_024 - 1_089_994_752 + 2_112 * 57_344


def test_float32_counts_four_bytes():
    counted = example_record(cell={"dtype": "fp32"})["bytes"]
    assert (counted["embedding"], counted["kv"]) == (152_064 * 3_584 * 4, 2_048 * 57_344 * 2)


def test_probes_are_the_best_read_and_the_middle_launch():
    found = example_record(probes={"read_samples_gbs": [4400.0, 4500.0, 4300.0], "launch_samples_us": [9.0, 4.0, 5.0]})
    assert (found["probes"]["read_gbs"], found["probes"]["launch_us"]) == (4500.0, 5.0)


def test_each_clock_is_the_median_of_its_own_pass():
    found = derived(
        wall={"steps_ms": STEPS},
        revisit={"steps_ms": [step + 1 for step in STEPS]},
        span={"steps_ms": [step + 2 for step in STEPS]},
        busy={
            "steps_ms": [step + 3 for step in STEPS],
            "span_ms": [step + 4 for step in STEPS],
            "kernels": [100, 200, 900] * 10,
        },
        rate={"total_ms": 660.0},
    )
    latency = found["latency"]
    assert latency["step_wall_ms"] == 20.0
    assert latency["step_wall_revisit_ms"] == 21.0
    assert latency["step_span_ms"] == 22.0
    assert latency["step_rate_ms"] == 660.0 / 30
    assert latency["step_busy_ms"] == 23.0
    assert latency["profiled_span_ms"] == 24.0
    assert latency["kernels_per_step"] == 200
    assert latency["tokens_per_s"] == 50.0  # 1000 / 20


def test_a_tail_is_the_wall_passs_where_it_has_steps_enough():
    # the smallest k with P[Binomial(299, p) < k] of at least 95 %
    found = example_record(protocol={"name": "custom", "steps": 299})
    found["passes"]["wall"]["steps_ms"] = [float(step) for step in range(1, 300)]
    derive(found)
    tails = [found["latency"][f"step_wall_p{percent}_ms"] for percent in (90, 95, 99)]
    assert tails == [278.0, 291.0, 299.0]
    assert found["latency"]["drift"] == 250 / 50 - 1  # the medians of 201 … 299 and of 1 … 99


def test_floors_by_hand():
    found = derived(wall={"steps_ms": [20.0] * 30})
    streamed_gb, paper_gb = 14.258678784, 15.348673536
    floor = found["floor"]
    assert floor["floor_ms"] == pytest.approx(streamed_gb / 4800 * 1e3)
    assert floor["floor_paper_ms"] == pytest.approx(paper_gb / 4800 * 1e3)
    assert floor["floor_achievable_ms"] == pytest.approx(streamed_gb / 4451.3 * 1e3)
    assert floor["r_floor"] == pytest.approx(streamed_gb / 4800 * 1e3 / 20)
    assert floor["r_floor_paper"] == pytest.approx(paper_gb / 4800 * 1e3 / 20)
    assert floor["r_floor_achievable"] == pytest.approx(streamed_gb / 4451.3 * 1e3 / 20)


def test_a_card_without_a_datasheet_has_only_the_floor_that_it_achieves():
    found = example_record(gpu={"bandwidth_gbs": None})
    floor, read_gbs = found["floor"], found["probes"]["read_gbs"]
    assert floor["floor_ms"] is floor["floor_paper_ms"] is floor["r_floor"] is floor["r_floor_paper"] is None
    assert floor["r_floor_achievable"] == pytest.approx(14.258678784 / read_gbs * 1e3 / 36)


def test_the_gate_tells_its_worst_error_of_any_position_and_check():
    found = example_record()
    found["gate"]["checks"][1]["errors"][3] = 0.09
    found["gate"]["checks"][0]["trusted"][-1] = 0.08
    derive(found)
    assert (found["gate"]["error"], found["gate"]["trusted_error"]) == (0.09, 0.08)


def test_the_fixed_cost_is_what_neither_steps_nor_prefill_nor_compiling_takes():
    costs = {"total": 100.0, "prefill": 10.0, "steps": 5.0, "compile": 30.0}
    found = example_record()
    found["cost_s"] = dict(costs)
    derive(found)
    assert found["cost_s"]["fixed"] == 55.0
    del found["cost_s"]["compile"]
    derive(found)
    assert found["cost_s"]["fixed"] == 85.0


def test_the_cost_keeps_the_name_of_each_phase_and_its_milliseconds():
    found = cost({"import": 1.2344, "prefill": 0.5, "steps": 0.25, "total": 4.0})
    assert (found.import_, found.prefill, found.steps, found.total) == (1.234, 0.5, 0.25, 4.0)
