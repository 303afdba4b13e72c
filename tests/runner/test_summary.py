"""The summary of a session: step, floor, gate and verdict of a measured one, and how another ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner import summary
from tests.support.derive import typed
from tests.support.records import cpu_record, example_record, failed_record, of_gate_version_1


def lines(record: Any) -> dict[str, str]:
    """Returns the lines of the summary below its title, by their first word."""
    return {words[0]: words[1] for line in [*summary.lines(record)][1:] if (words := line.split(maxsplit=1))}


def test_a_measured_session_is_summed_up() -> None:
    record = replace(typed(example_record(step_ms=36.0)), flags=("drifting", "throttled"))
    (title, *_) = summary.lines(record)
    assert title == "qwen2.5-7b 2048 bf16 eager static h200 (session 0f3c9a52b7d1e846)"
    said = lines(record)
    assert said["step"] == "36.000 ms, 27.8 tokens/s"  # 1000 / 36 = 27.78
    # (14.141 + 0.117) GB / 4800 GB/s = 2.971 ms;  2.971 / 36 = 0.083
    assert said["floor"].startswith("2.971 ms at the datasheet's bandwidth (r_floor 0.083); ")
    assert (said["valid"], said["flags"]) == ("yes", "drifting, throttled")


def test_without_flags_there_is_no_line_of_flags() -> None:
    assert "flags" not in lines(replace(typed(example_record()), flags=()))


def test_reasons_follow_an_invalid_verdict() -> None:
    record = replace(typed(example_record()), valid=False, reasons=("too hot", "too slow"))
    assert lines(record)["valid"] == "NO: too hot; too slow"


def test_a_device_without_a_datasheet_has_the_floor_that_was_measured_on_it() -> None:
    record = typed(cpu_record())
    assert "datasheet" not in lines(record)["floor"]
    assert lines(record)["floor"].endswith(f"(r_floor_achievable {record.floor.r_floor_achievable:.3f})")
    unknown = replace(record.floor, floor_achievable_ms=None, r_floor_achievable=None)
    assert lines(replace(record, floor=unknown))["floor"] == "unknown"


def test_the_gate_counts_the_timed_tokens_of_every_pass() -> None:
    record = typed(example_record())
    # each timed pass reads back its 30 steps
    steps = 30 * len(record.gate.tokens)
    assert lines(record)["gate"].endswith(f" times that of trusted eager; {steps} timed tokens checked")


def test_the_older_gate_had_an_error_and_a_bound() -> None:
    record = typed(of_gate_version_1(cpu_record()))
    gate = replace(record.gate, error=0.01, bound=0.03)
    assert lines(replace(record, gate=gate))["gate"] == "error 1.00e-02, bound 3.00e-02"


@pytest.mark.parametrize("status", ["oom", "interrupted"])
def test_a_session_without_a_measurement_says_how_it_ended(status: str) -> None:
    record = typed(failed_record(status))
    assert [*summary.lines(record)][1:] == [f"  {status}: {record.outcome.message}"]
