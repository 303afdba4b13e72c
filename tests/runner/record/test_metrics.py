"""The table of metrics: each value is what arithmetic says of the raw values, under a name that says its unit."""

import pytest

from runner.record import metrics, quantiles, tails
from tests.support.derive import judge, typed
from tests.support.energies import energy_record
from tests.support.records import cpu_record, example_record, failed_record, of_gate_version_1

UNITS = {"_ms": "ms", "_us": "us", "_gbs": "GB/s", "_per_s": "1/s", "_c": "C", "_w": "W", "_mhz": "MHz", "_s": "s"}


def test_a_name_says_the_unit_of_its_value():
    for metric in metrics.METRICS:
        ends = [ending for ending in UNITS if metric.name.endswith(ending)]
        if "joules" in metric.name:
            assert metric.unit == "J", metric.name
        elif ends:
            assert metric.unit == UNITS[max(ends, key=len)], metric.name
        elif metric.name != "latency/p99":  # a percentile is named without its unit
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


def disagreement(record):
    return metrics.passes_disagreement(typed(record))


def timed(*, wall=40.0, span=40.0, rate=40.0, profiled=40.0, revisit=None):
    """A session whose steps all take as long as is said, in ms, by each clock."""
    found = example_record(cell={"cache": "static" if revisit is None else "dynamic"})
    passes = found["passes"]
    passes["wall"]["steps_ms"], passes["span"]["steps_ms"] = [wall] * 30, [span] * 30
    passes["rate"]["total_ms"], passes["busy"]["span_ms"] = 30 * rate, [profiled] * 30
    if revisit is not None:
        passes["revisit"]["steps_ms"] = [revisit] * 30
    return found


@pytest.mark.parametrize(
    ("steps_ms", "share"),
    [
        ({}, 0.0),
        ({"wall": 50.0}, 0.2),  # (50 − 40) / 50
        ({"span": 50.0}, 0.25),  # (50 − 40) / 40
        ({"span": 30.0}, 0.25),
        ({"rate": 50.0}, 0.25),
        ({"rate": 30.0}, 0.25),
        ({"profiled": 30.0}, 0.25),
        ({"profiled": 90.0}, 0.0),  # a profiler slows down
        ({"wall": 90.0, "revisit": 50.0}, 0.2),  # the first visit to a length does not count
    ],
)
def test_passes_disagree_by_the_slowest_less_the_fastest_over_the_hosts_step(steps_ms, share):
    assert disagreement(timed(**steps_ms)) == pytest.approx(share)


@pytest.mark.parametrize(("absent", "share"), [("span", None), ("rate", None), ("busy", 0.2)])
def test_passes_disagree_only_where_span_and_rate_were_timed(absent, share):
    found = timed(wall=50.0)
    del found["passes"][absent]
    assert disagreement(found) == share


def test_the_energy_of_a_step_has_metrics():
    found = energy_record()
    values = metrics.values(typed(found))
    for name in ("joules_per_token", "joules_per_token_above_idle", "sm_clock_mhz", "memory_clock_mhz", "uncertainty"):
        assert values[f"energy/{name}"] == found["energy"][name]
    assert values["cost/energy_s"] == found["cost_s"]["energy"]
    assert not [name for name in metrics.values(typed(example_record())) if "energy" in name]


def test_the_energy_of_a_wrong_step_has_none():
    found = energy_record()
    found["energy"]["steps"]["compiled"] = 1
    judge(found)
    assert not found["valid"]
    assert not [name for name in metrics.values(typed(found)) if name.startswith("energy/")]


LONG = {"name": "tail-long", "steps": 300, "windows": 10}


def test_the_tail_is_bounded_where_the_steps_support_it():
    found = typed(example_record(protocol=LONG))
    values = metrics.values(found)
    windows = found.passes.wall.windows_ms
    assert values["latency/p99"] == tails.percentile_bound(windows, 99)
    assert values["latency/max_ms"] == max(map(max, windows)) >= values["latency/p99"]
    assert values["latency/jitter_ms"] == quantiles.jitter(windows)
    assert "latency/p99" not in metrics.values(typed(example_record()))  # of 30 steps


def test_the_series_of_all_windows_is_one_in_ms():
    found = example_record(protocol=LONG)
    series = metrics.step_series_ms(typed(found))
    assert len(series) == 3000
    assert series[300] == found["passes"]["wall"]["windows_us"][1][0] / 1e3


def test_passes_are_compared_over_the_context_lengths_that_both_have():
    """The 270 later steps of the wall pass, at lengths that the others have not, are slower."""
    found = example_record(protocol={"name": "tail", "steps": 300})
    found["passes"]["wall"]["steps_ms"] = [40.0] * 30 + [80.0] * 270
    found["passes"]["span"]["steps_ms"], found["passes"]["busy"]["span_ms"] = [40.0] * 30, [40.0] * 30
    found["passes"]["rate"]["total_ms"] = 40.0 * 30
    assert disagreement(found) == 0.0
