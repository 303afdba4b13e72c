"""The page of a run: what was measured, how well, and where the time went."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlflow import MlflowClient

from runner import store
from runner.cell.jsonform import hints, name_of
from runner.record.sections.energy import NoEnergy
from runner.record.sections.surroundings import Cost
from runner.store import run_page
from tests.support.derive import typed
from tests.support.energies import energy_record
from tests.support.records import example_record, failed_record


@pytest.mark.medium
def test_the_description_says_what_was_measured_how_well_and_where_the_time_went(sqlite_uri: str) -> None:
    run = MlflowClient(tracking_uri=sqlite_uri).get_run(store.commit(typed(example_record()), None))
    text = run.data.tags["mlflow.note.content"]
    assert "**qwen2.5-7b** at ctx **2048** on **NVIDIA H200**" in text
    # MLflow's page shows the first lines only
    assert text.startswith("**36 ms** per step · `r_floor` **0.08252** · valid\n")
    assert "### Valid" in text
    assert "| one step, host clock (`step_wall_ms`) | 36 | ms |" in text
    # (14.141 + 0.117) GB / 4800 GB/s = 2.971 ms;  2.971 / 36 = 0.0825
    assert "(`floor_ms`) | 2.971 | ms |" in text
    assert "(`r_floor`) | 0.08252 |  |" in text
    # 21 - (0.21 + 4.8 + 0.35 + 1.9 + 1.7 + 0.72 + 0.474 + 6.2) = 4.646
    assert "### Time of each phase: 21.0 s from command to record" in text
    assert "| other | 4.65 |" in text


@pytest.mark.medium
def test_flags_are_explained(sqlite_uri: str) -> None:
    run = MlflowClient(tracking_uri=sqlite_uri).get_run(
        store.commit(typed(example_record(given_flags=["shared-host"])), None)
    )
    assert run.data.tags["flags"] == "shared-host"
    assert "`shared-host`: another session was measured on this host" in run.data.tags["mlflow.note.content"]


def test_the_page_has_a_row_for_each_phase_that_a_record_can_have():
    assert {*run_page.PHASES, "total", "fixed"} == {name_of(name) for name in hints(Cost)}


def test_a_session_without_a_measurement_begins_with_that_and_has_no_numbers() -> None:
    text = run_page.run_description(typed(failed_record("oom")))
    assert text.startswith("**not measured**: oom\n")
    assert "### Not measured: oom\n\nthe worker was killed by SIGSEGV" in text
    assert "| value |" not in text
    assert "Time of each phase" not in text


def test_each_reason_of_an_invalid_session_has_a_line() -> None:
    record = replace(typed(example_record()), valid=False, reasons=("too hot", "too slow"))
    text = run_page.run_description(record)
    assert "· **not valid**\n" in text
    assert "### Not valid\n\n- too hot\n- too slow\n" in text


def test_the_longest_phase_comes_first() -> None:
    table = run_page.run_description(typed(example_record())).partition("### Time of each phase")[2]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][2:]
    seconds = [float(row[1]) for row in rows]
    assert seconds == sorted(seconds, reverse=True)
    assert sum(seconds) == pytest.approx(21.0, abs=0.05)  # every second is in some row


def test_bytes_are_shown_as_gigabytes() -> None:
    record = typed(example_record())
    text = run_page.run_description(replace(record, memory=replace(record.memory, peak_bytes=17_250_000_000)))
    assert "| peak memory | 17.25 | GB |" in text


def test_the_page_has_the_energy_of_a_step_or_why_there_is_none() -> None:
    text = run_page.run_description(typed(energy_record()))
    assert "| energy of a step (`joules_per_token`) | 17.28 | J |" in text
    assert "| energy |" in text  # among the phases
    without = replace(typed(example_record()), energy=NoEnergy("only root may read it"))
    assert "No energy was measured: only root may read it\n" in run_page.run_description(without)
