"""The summary of a session: step, floor, gate and verdict of a measured one, and how another ended."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from runner import summary
from runner.record import derive
from runner.record.flags import FLAG_MEANINGS
from runner.record.sections.energy import NoEnergy
from tests.support.derive import typed
from tests.support.energies import energy_record, power_record
from tests.support.hostconditions import pinned
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
    assert said["floor"] == "8.3 % of the floor (2.971 ms at the datasheet's bandwidth; r_floor 0.083)"
    # 14.258 GB / 36 ms = 396.1 GB/s
    assert said["achieved"] == "396.1 GB/s"
    assert said["p90"] == f"{record.latency.step_wall_p90_ms:.3f} ms"
    assert said["flags"] == f"drifting: {FLAG_MEANINGS['drifting']}"
    assert said["throttled:"] == FLAG_MEANINGS["throttled"]
    assert len([*summary.lines(record)]) <= 10


def test_a_condition_of_the_host_is_named_beside_the_cell() -> None:
    (first, *_) = summary.lines(typed(pinned()))
    assert re.search(r" pinned:1 \(session [0-9a-f]{16}\)$", first)


def test_long_texts_are_wrapped_below_their_label() -> None:
    record = replace(typed(example_record()), flags=("disturbed",))
    found = [*summary.lines(record, 60)][1:]
    assert max(map(len, found)) <= 60
    after = found[found.index(next(line for line in found if line.startswith("  flags"))) :]
    assert " ".join(" ".join(after).split()) == f"flags disturbed: {FLAG_MEANINGS['disturbed']}"
    assert all(line.startswith(" " * 12) for line in after[1:])


def test_a_session_of_few_steps_has_no_p90() -> None:
    record = typed(example_record())
    assert "p90" not in lines(replace(record, latency=replace(record.latency, step_wall_p90_ms=None)))


def test_without_flags_there_is_no_line_of_flags() -> None:
    assert "flags" not in lines(replace(typed(example_record()), flags=()))


def test_an_invalid_session_is_marked_and_the_error_says_why() -> None:
    record = replace(typed(example_record()), valid=False, reasons=("too hot", "too slow"))
    assert lines(record)["valid"] == "NO"


def test_a_device_without_a_datasheet_has_the_floor_that_was_measured_on_it() -> None:
    record = typed(cpu_record())
    assert "datasheet" not in lines(record)["floor"]
    assert lines(record)["floor"].endswith(f"; r_floor_achievable {record.floor.r_floor_achievable:.3f})")
    unknown = replace(record.floor, floor_achievable_ms=None, r_floor_achievable=None)
    assert "floor" not in lines(replace(record, floor=unknown))


def test_the_gate_counts_the_timed_tokens_of_every_pass() -> None:
    record = typed(example_record())
    # each timed pass reads back its 30 steps
    steps = 30 * len(record.gate.tokens)
    assert lines(record)["valid"].startswith("yes: logit error ")
    assert lines(record)["valid"].endswith(f" times that of trusted eager; {steps} timed tokens checked")


def test_the_older_gate_had_an_error_and_a_bound() -> None:
    record = typed(of_gate_version_1(cpu_record()))
    gate = replace(record.gate, error=0.01, bound=0.03)
    assert lines(replace(record, gate=gate))["valid"] == "yes: logit error 1.00e-02, bound 3.00e-02"


@pytest.mark.parametrize("status", ["oom", "interrupted"])
def test_a_session_without_a_measurement_says_how_it_ended_and_the_error_says_why(status: str) -> None:
    record = typed(failed_record(status))
    assert [*summary.lines(record)][1:] == [f"  status    {status}"]


def test_the_costs_of_sessions_are_told_by_phase_as_fixed_cost_and_measurement() -> None:
    phases = {"start": 0.2, "import": 10.0, "probe": 0.6, "build": 1.0, "reference": 3.0, "verify": 1.2}
    one = derive.cost({**phases, "prefill": 0.5, "steps": 9.5, "total": 28.0})
    other = derive.cost({**phases, "import": 8.0, "prefill": 0.5, "steps": 9.5, "compile": 6.0, "total": 32.0})
    # totals (28 + 32) / 2; fixed (28 - 10 + 32 - 16) / 2 = 17, of which the phases are 0.2 + 9 + 0.6 + 1 + 3 + 1.2 = 15
    assert " ".join(" ".join(summary.cost_lines([one, other])).split()) == (
        "cost 30.0 s per session (mean of 2 sessions): 17.0 s fixed (start 0.2, import 9.0, probe 0.6, build 1.0, "
        "reference 3.0, verify 1.2, other 2.0), 13.0 s measurement (prefill 0.5, steps 9.5, compile 3.0)"
    )


def test_the_costs_of_an_older_session_have_its_phases_alone() -> None:
    cost = replace(typed(example_record()).cost_s, fixed=None)
    oldest = derive.cost({"prefill": 0.5, "steps": 9.5, "total": 28.0})
    assert " ".join(" ".join(summary.cost_lines([oldest])).split()) == (
        "cost 28.0 s per session (mean of 1 session): 18.0 s fixed (other 18.0), "
        "10.0 s measurement (prefill 0.5, steps 9.5)"
    )
    assert [*summary.cost_lines([cost])] == [*summary.cost_lines([typed(example_record()).cost_s])]
    assert max(map(len, summary.cost_lines([cost], 60))) <= 60


def energy_lines(record: Any) -> list[str]:
    """Returns the lines about energy, without their label."""
    found = [" ".join(line.split()) for line in summary.lines(record, 200)]
    return [line.removeprefix("energy ") for line in found if re.match("energy|.*J/token|steps of", line)]


def test_the_energy_of_a_step_is_shown_with_its_uncertainty() -> None:
    # 569 steps of 36 ms at 480 W, 120 W of them idle: 0.036 s · 480 W = 17.28 J, 0.036 s · 360 W = 12.96 J
    assert energy_lines(typed(energy_record())) == [
        "17.280 J/token (± 1.0 %)",
        "12.960 J/token above the idle card (± 1.6 %)",
        "steps of 35.949 ms while it was measured",  # (569 · 36 ms − 29 ms between steps) / 569
    ]


def test_energy_from_samples_of_power_is_marked() -> None:
    assert "(± 7.8 %, from samples of power: the card has no energy counter)" in energy_lines(typed(power_record()))[0]


def test_energy_that_could_not_be_measured_says_why() -> None:
    record = replace(typed(example_record()), energy=NoEnergy("only root may read it"))
    assert energy_lines(record) == ["not measured: only root may read it"]


def test_the_energy_of_a_wrong_step_is_not_shown() -> None:
    assert energy_lines(replace(typed(energy_record()), valid=False)) == []
    assert energy_lines(typed(example_record())) == []


def test_a_session_for_a_tail_has_its_tail_and_what_the_host_did() -> None:
    said = lines(typed(cpu_record(protocol={"name": "tail", "steps": 300})))
    assert said["tail"].startswith("p50 ")
    assert "other processes: 0.03 cores" in said["host"]
    assert "tail" not in lines(typed(example_record()))


def test_the_tokens_of_windows_that_are_stated_once_count_for_each() -> None:
    record = typed(cpu_record(protocol={"name": "tail-long", "steps": 300, "windows": 10}))
    assert len(record.gate.tokens) == 1
    assert lines(record)["valid"].endswith("; 3000 timed tokens checked")
