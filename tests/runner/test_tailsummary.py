"""The tail of a session as the summary and `--json` give it."""

from __future__ import annotations

from statistics import median
from typing import Any

import pytest

from runner import tailsummary
from runner.record import quantiles, tails
from tests.support.derive import typed
from tests.support.records import cpu_record

LONG = {"name": "tail-long", "steps": 300, "windows": 10}


def of_steps(steps_ms: list[float], **wall: Any) -> Any:
    """Returns a session of the protocol `tail` with these steps."""
    found = cpu_record(protocol={"name": "tail", "steps": 300})
    found["passes"]["wall"] |= {"steps_ms": steps_ms, **wall}
    return typed(found)


def said(found: tailsummary.Tail) -> str:
    return " ".join(" ".join(tailsummary.lines(found)).split())


def test_a_tail_has_its_numbers_from_all_windows() -> None:
    record = typed(cpu_record(protocol=LONG))
    windows = record.passes.wall.windows_ms
    found = tailsummary.tail(record)
    assert (found.steps, found.windows) == (3000, 10)
    assert found.n_eff == pytest.approx(3000 / found.tau)
    assert found.p50_ms == record.latency.step_wall_ms == median(record.passes.wall.steps_ms)
    assert found.p90_ms == tails.percentile_bound(windows, 90)
    assert found.p99_ms == tails.percentile_bound(windows, 99)
    assert found.max_ms == max(map(max, windows))
    assert found.jitter_ms == quantiles.jitter(windows)
    assert (found.voluntary_switches, found.involuntary_switches) == (3001, 12)
    assert found.cpu_mhz == (2100.0,) * 10


def test_what_a_sample_does_not_support_is_not_stated() -> None:
    found = tailsummary.tail(of_steps([10.0] * 40 + [20.0]))
    # with 41 independent steps p90 is supported (29), p99 is not (299)
    assert (found.p90_ms, found.p99_ms) == (20.0, None)
    assert "p90 20.000 ms, p99 –, largest 20.000 ms, jitter 0.250 ms" in said(found)  # 10 ms / 40 differences
    assert "p99: too few independent steps for a bound" in said(found)


def test_the_lines_of_a_long_sample() -> None:
    found = tailsummary.Tail(3000, 10, 1.5, 2000.0, 9.5, 9.75, 10.25, 12.125, 0.0625, 0.25, 3, 3000, (2100.0, 3400.0))
    assert said(found) == (
        "tail p50 9.500 ms, p90 9.750 ms, p99 10.250 ms, largest 12.125 ms, jitter 0.062 ms p90 and p99 are upper 95 % "
        "bounds of this session: 3000 steps in 10 windows, as good as 2000 independent ones (tau 1.5) host context "
        "switches of the timing thread: 3 involuntary, 3000 voluntary; other processes: 0.25 cores; CPU frequency: "
        "2100 to 3400 MHz"
    )
    assert max(map(len, tailsummary.lines(found, 60))) <= 60


@pytest.mark.parametrize(
    ("mhz", "text"), [(None, "not readable"), ([2100.0], "2100 MHz"), ([2100.2, 2099.8], "2100 MHz")]
)
def test_the_frequency_is_said_where_it_is_known(mhz: list[float] | None, text: str) -> None:
    seen = {"voluntary_switches": 1, "involuntary_switches": 2, "cpu_mhz": mhz, "other_cpu_cores": None}
    lines = said(tailsummary.tail(of_steps([10.0] * 300, **seen)))
    assert f"CPU frequency: {text}" in lines
    assert "other processes: not readable" in lines


def test_an_older_record_says_nothing_of_switches() -> None:
    lines = said(tailsummary.tail(of_steps([10.0] * 300)))
    assert "host other processes: 0.03 cores; CPU frequency: not readable" in lines
