"""The table of metrics: each value is what arithmetic says of the raw values, under a name that says its unit."""

import pytest

from runner.record import metrics
from tests.support.derive import typed
from tests.support.records import cpu_record, example_record, failed_record, of_gate_version_1

UNITS = {"_ms": "ms", "_us": "us", "_gbs": "GB/s", "_per_s": "1/s", "_c": "C", "_w": "W", "_mhz": "MHz", "_s": "s"}


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


def test_kernels_of_a_step_add_up_in_milliseconds():
    # 3512.6 + 148.91 + 1208.4 = 4869.91 µs
    assert metrics.values(typed(example_record()))["latency/kernel_sum_ms"] == pytest.approx(4.86991)


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
