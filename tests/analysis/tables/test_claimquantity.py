"""Quantities of claims, with their intervals."""

from dataclasses import replace

import pytest

from analysis import groups
from analysis.statistics.savings import Saving
from analysis.tables._baselines import Baseline
from analysis.tables._claimquantity import of_group, of_savings, over, session_values
from analysis.tables._claimrow import Quantity
from analysis.tables._trace import Traces, traces
from tests.support.claimcells import sessions
from tests.support.frames import GROUP, frame_of

CENTRE = Quantity(0.4, 0.3, 0.5, "range", 3, 1, ["drifting"])


def test_a_quotient_of_metrics_is_made_per_session_and_has_the_range_of_its_sessions():
    frame = frame_of(sessions("h200", [20.0, 30.0, 40.0]))
    (group,) = groups.rows(frame, ["step_wall_ms", "floor_ms"])
    found = of_group(group, session_values(frame, "floor_ms", "step_wall_ms"), traces(frame, []))
    # 14.259 GB at 4800 GB/s are 2.971 ms
    assert found.value == pytest.approx(2.971 / 30, rel=0.02)
    assert (found.low, found.high) == (pytest.approx(2.971 / 40, rel=0.02), pytest.approx(2.971 / 20, rel=0.02))
    assert (found.interval, found.sessions, found.hosts) == ("range", 3, 1)
    assert [*found.origins.values()] == [[f"{number:016x}" for number in range(3)]]
    assert of_group(None, {}, Traces()) is None
    assert of_group(group, {}, Traces()) is None


def test_a_quotient_of_quantities_has_the_least_favourable_ends():
    better = Quantity(0.2, 0.1, 0.25, "ci95", 20, 2, ["gate-1"], {"group-1": ["a"]})
    found = over(CENTRE, better)
    # 0.4 / 0.2; 0.3 / 0.25; 0.5 / 0.1
    assert (found.value, found.low, found.high) == (2.0, pytest.approx(1.2), pytest.approx(5.0))
    assert (found.interval, found.sessions, found.hosts, found.flags) == ("range", 3, 3, ["drifting", "gate-1"])
    assert found.origins == {"group-1": ["a"]}
    assert over(None, better) is None
    assert over(better, None) is None


def test_a_saving_is_a_part_of_what_the_bytes_allow():
    plain = replace(GROUP, bytes_streamed=12e9, sessions=5, flags=["gate-1"])
    group = replace(GROUP, bytes_streamed=4e9, sessions=3)
    saving = Saving(1.5, 1.2, 1.8, "range", "range", 1)
    # 12 / 4 = 3 are allowed, of which 1.5 are half
    found = of_savings(group, Baseline(plain, saving), Traces())
    assert (found.value, found.low, found.high) == (0.5, pytest.approx(0.4), pytest.approx(0.6))
    assert (found.sessions, found.hosts, found.flags) == (3, 1, ["gate-1"])
    assert of_savings(group, None, Traces()) is None
    assert of_savings(None, Baseline(plain, saving), Traces()) is None
    assert of_savings(replace(group, bytes_streamed=None), Baseline(plain, saving), Traces()) is None
