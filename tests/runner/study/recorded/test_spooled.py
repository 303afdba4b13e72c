"""What the sessions of a spool say about a cell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.cell.protocol import NAMED
from runner.hostcondition.condition import HostCondition
from runner.study.planned import Planned
from runner.study.recorded import spooled
from runner.study.recorded.known import Known
from runner.study.recorded.spooled import Attempts, SpooledSessions
from tests.support.studies import CODE, entry, failed, known, planned


@pytest.fixture
def cell() -> Planned:
    return planned(entry())


def attempts(of: Planned, *sessions: Known) -> Attempts:
    return spooled.attempts(sessions, of.plans[0], lambda one: None if one.code_key == CODE else "other code")


def test_sessions_count_by_cell_protocol_and_seed(cell: Planned) -> None:
    counted = [known(cell, 2, study="another"), known(cell, 1)]
    others = [known(cell, seed=1), known(cell, protocol=NAMED["tail"]), known(cell, cell_key="0123")]
    found = SpooledSessions([*counted, *others])
    assert found.of_cell(cell.plans[0], cell.keys[0], None) == counted[::-1]
    assert found.of_cell(cell.plans[0], cell.keys[0], "another") == counted[:1]


def test_a_session_of_another_number_of_windows_counts_for_neither_cell_nor_time() -> None:
    asked = planned(entry(cache="static", protocol="tail-long", windows="20"))
    (plan,), (key,) = asked.plans, asked.keys
    short, long = known(asked, 1, protocol=NAMED["tail-long"]), known(asked, 2, protocol=plan.protocol)
    found = SpooledSessions([short, long])
    assert found.of_cell(plan, key, None) == [long]
    assert spooled.session_s(SpooledSessions([short]).of_cell(plan, key, None), energy=False) is None


def test_sessions_of_a_folder_are_those_of_its_records(cell: Planned) -> None:
    inside, outside = known(cell, folder=Path("spool/ab-x")), known(cell)
    assert SpooledSessions([inside, outside]).in_folder(Path("spool/ab-x")) == [inside]
    assert SpooledSessions([]).in_folder(Path("spool/ab-x")) == ()


def test_attempts_are_divided_by_their_outcome(cell: Planned) -> None:
    valid, invalid = known(cell, 1), known(cell, 2, valid=False)
    outdated, oom = known(cell, 3, code_key="old"), failed(cell, "worker-failed", 4)
    found = attempts(cell, valid, invalid, outdated, oom)
    assert found == Attempts((valid,), (invalid,), (outdated,), (oom,))
    assert found.failure is oom


def test_a_valid_session_after_a_failure_excuses_it(cell: Planned) -> None:
    assert attempts(cell, failed(cell, "worker-failed", 1), known(cell, 2)).failure is None
    assert attempts(cell, known(cell, 1), failed(cell, "worker-failed", 2)).failure is not None


@pytest.mark.parametrize("reason", ["interrupted", "terminated", "disk-full", "store-unreachable", "gpu-not-found"])
def test_a_cause_that_says_nothing_about_the_cell_is_no_failure(cell: Planned, reason: str) -> None:
    assert attempts(cell, failed(cell, reason)).failed == ()


def test_a_worker_that_was_killed_from_outside_has_not_failed(cell: Planned) -> None:
    assert attempts(cell, failed(cell, "worker-failed", signal="SIGKILL")).failed == ()
    assert len(attempts(cell, failed(cell, "worker-failed", signal="SIGSEGV")).failed) == 1


@pytest.mark.parametrize(("gpu", "model", "failures"), [("cpu", "tiny", 0), ("l4", "qwen2.5-7b", 1)])
@pytest.mark.parametrize("reason", ["oom", "infeasible"])
def test_memory_is_the_same_again_on_a_card_but_not_on_a_host(gpu: str, model: str, failures: int, reason: str) -> None:
    cell = planned(entry(gpu=gpu, model=model))
    assert len(attempts(cell, failed(cell, reason)).failed) == failures


def test_a_session_takes_as_long_as_the_newest_measured_one(cell: Planned) -> None:
    sessions = [known(cell, 1, cost_s={"total": 9.0}), known(cell, 2, cost_s={"total": 7.0}), failed(cell, "oom", 3)]
    assert spooled.session_s(sessions, energy=False) == 7.0
    assert spooled.session_s([], energy=False) is None


def test_the_time_of_energy_counts_for_a_session_that_measures_it_alone(cell: Planned) -> None:
    sessions = [known(cell, energy=True, cost_s={"total": 72.0, "energy": 46.0})]
    assert spooled.session_s(sessions, energy=False) == 26.0
    assert spooled.session_s(sessions, energy=True) == 72.0


def test_the_newest_group_has_one_code_and_environment(cell: Planned) -> None:
    old, first, second = known(cell, 1, code_key="old"), known(cell, 2), known(cell, 3)
    invalid = known(cell, 4, valid=False, code_key="newer")
    assert spooled.newest_group([old, first, second, invalid]) == (first, second)
    assert spooled.newest_group([]) == ()


def test_a_session_with_energy_also_counts_where_energy_is_not_asked_for(cell: Planned) -> None:
    plain, with_energy = known(cell, 1), known(cell, 2, energy=True)
    sessions, plan = SpooledSessions([plain, with_energy]), cell.plans[0]
    assert sessions.of_cell(plan, cell.keys[0], None) == [plain, with_energy]
    assert sessions.of_cell(replace(plan, energy=True), cell.keys[0], None) == [with_energy]


def test_a_session_under_a_condition_of_the_host_counts_for_that_condition_alone(cell: Planned) -> None:
    plain, pinned, busy = (known(cell, at, host_condition=text) for at, text in enumerate((None, "pinned:1", "busy:8")))
    sessions, plan = SpooledSessions([plain, pinned, busy]), cell.plans[0]
    for condition, expected in ((None, plain), (HostCondition("pinned", 1), pinned), (HostCondition("busy", 8), busy)):
        assert sessions.of_cell(replace(plan, host_condition=condition), cell.keys[0], None) == [expected]
