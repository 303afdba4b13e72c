"""The table of metrics: each value is what arithmetic says of the raw values, under a name that says its unit."""

import pytest

from runner.record import metrics
from tests.support.derive import derive, typed
from tests.support.records import cpu_record, example_record, failed_record, of_gate_version_1

UNITS = {"_ms": "ms", "_us": "us", "_gbs": "GB/s", "_per_s": "1/s", "_c": "C", "_w": "W", "_mhz": "MHz", "_s": "s"}
STEPS = [10.0, 20.0, 60.0] * 10  # median 20, mean 30


def derived(**passes):
    """A record of a growing cache with these steps in its passes."""
    found = example_record(cell={"cache": "dynamic"})
    for name, values in passes.items():
        found["passes"][name] |= values
    derive(found)
    return found


def test_a_name_says_the_unit_of_its_value():
    for metric in metrics.METRICS:
        ends = [ending for ending in UNITS if metric.name.endswith(ending)]
        if ends:
            assert metric.unit == UNITS[max(ends, key=len)], metric.name
        else:
            assert metric.unit in ("1", "B", "tokens", "%"), metric.name
    assert len({metric.name for metric in metrics.METRICS}) == len(metrics.METRICS)


def test_a_snapshots_value_bears_the_name_of_its_moment():
    found = example_record()
    moments = {"before": 1000, "after": 2000}
    fields = [name for name, value in found["snapshots"]["before"].items() if type(value) in (int, float)]
    for moment, base in moments.items():
        found["snapshots"][moment] |= {name: base + at for at, name in enumerate(fields)}
    of_snapshots = {name: value for name, value in metrics.values(typed(found)).items() if name.startswith("gpu/")}
    assert len(of_snapshots) == 12
    for name, value in of_snapshots.items():
        moment, base = next((word, base) for word, base in moments.items() if word in name)
        field = fields[int(value) - base]
        assert name.startswith(f"gpu/{field.rpartition('_')[0]}_{moment}")


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


def test_kernels_of_a_step_add_up_in_milliseconds():
    # 3512.6 + 148.91 + 1208.4 = 4869.91 µs
    assert metrics.values(typed(example_record()))["latency/kernel_sum_ms"] == pytest.approx(4.86991)


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


def test_what_a_record_lacks_has_no_metric():
    assert metrics.values(typed(failed_record())) == {"cell/ctx": 2048.0}
    of_cpu = metrics.values(typed(cpu_record()))
    lacking = ("span", "rate", "busy", "profiled_span", "kernel_sum", "wall_revisit")
    assert not [name for name in of_cpu for part in lacking if part in name]
    assert {"gate/ratio", "gate/regret", "gate/repeatable"}.isdisjoint(
        metrics.values(typed(of_gate_version_1(example_record())))
    )


def test_a_metric_that_is_not_stored_follows_from_the_raw_values():
    found = example_record()
    assert {"kernel_sum_ms", "passes_disagreement"}.isdisjoint(found["latency"])
    found["kernels"] = found["kernels"][:1]
    assert metrics.values(typed(found))["latency/kernel_sum_ms"] == pytest.approx(3.5126)
    found["passes"]["rate"]["total_ms"] = 27.0 * 30  # a quarter below the wall clock's 36 ms
    assert metrics.values(typed(found))["latency/passes_disagreement"] == pytest.approx(0.25)
