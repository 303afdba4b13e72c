"""The declared condition of the host: the requested one, its section, and the flag that follows from it."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from runner.record import schema
from runner.record.verify import recompute
from tests.support.edits import Edit, all_of, drop, put
from tests.support.hostconditions import busy, conditioned, pinned
from tests.support.records import cpu_record, example_record, failed_record
from tests.support.verify import Make, assert_named


@pytest.mark.parametrize("make", [pinned, busy, lambda: conditioned("busy:2", cpu_record(cell={"cache": "dynamic"}))])
def test_a_record_under_a_condition_is_right_and_flagged(make: Make) -> None:
    found = make()
    assert recompute.differences(found) == []
    assert "host-condition" in found["flags"]
    jsonschema.validate(found, schema.schema())


@pytest.mark.parametrize("declared", ["auto", "none"])
def test_a_request_may_name_the_host_as_it_is(declared: str) -> None:
    found = example_record(request={"host_condition": declared})
    assert recompute.differences(found) == []
    assert "host-condition" not in found["flags"]


PLANTED: dict[str, tuple[Make, Edit, str]] = {
    "one that nobody requested": (pinned, drop("request.host_condition"), "host_condition: present, but not requested"),
    "one that is gone": (busy, drop("host_condition"), "host_condition: missing, but requested"),
    "one requested alone": (
        example_record, put("request.host_condition", "busy:2"), "host_condition: missing, but requested"
    ),
    "no condition": (pinned, put("request.host_condition", "idle:1"), "request: host_condition=idle:1: must be"),
    "another one": (pinned, put("host_condition.declared", "pinned:2"), "host_condition.declared: 'pinned:2', but"),
    "more processors": (
        pinned,
        all_of(put("host_condition.cores", 2), put("host.cores", 2)),
        "host_condition.cores: 2, but that of pinned:1 is 1",
    ),
    "other processors than the host's": (pinned, put("host.cores", 2), "host_condition.cores: 1, but host.cores is 2"),
    "fewer neighbours": (busy, put("host_condition.neighbours", 7), "host_condition.neighbours: 7, but that of busy:8"),
    "no neighbours that compute": (
        pinned, put("host_condition.neighbour_cores", 1.0), "host_condition.neighbour_cores: present"
    ),
    "neighbours that take no time": (
        busy, put("host_condition.neighbour_cores", 0.0), "host_condition.neighbour_cores: 0, but neighbours"
    ),
    "neighbours on more processors than there are": (
        lambda: conditioned("busy:64", example_record(host={"cores": 4})),
        put("host_condition.neighbour_cores", 5.0),
        "host_condition.neighbour_cores: 5, more than neighbours and processors allow"
    ),
    "neighbours on more processors than they are": (
        busy, put("host_condition.neighbour_cores", 8.5), "host_condition.neighbour_cores: 8.5, more than"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_contradiction_is_named(case: str) -> None:
    assert_named(*PLANTED[case])


def test_a_flag_that_is_gone_is_named() -> None:
    found = busy()
    found["flags"].remove("host-condition")
    assert any(line.startswith("flags: ") for line in recompute.differences(found))


USUAL = ["__init__.py", "hostcondition/__init__.py", "hostcondition/condition.py"]


def with_files(found: dict[str, Any], *more: str) -> dict[str, Any]:
    """The record of a session that loaded these modules, too."""
    found["keys"]["code_files"] = sorted([*USUAL, *more])
    return found


def test_the_code_of_a_session_shows_whether_a_condition_was_brought_about() -> None:
    assert recompute.differences(with_files(busy(), "hostcondition/applying.py")) == []
    assert recompute.differences(with_files(example_record())) == []
    stripped = with_files(example_record(), "hostcondition/applying.py")
    assert recompute.differences(stripped) == [
        "keys.code_files: with hostcondition/applying.py, which brings a condition about, without host_condition"
    ]
    assert recompute.differences(with_files(pinned())) == [
        "keys.code_files: without hostcondition/applying.py, which brings a condition about, with host_condition"
    ]


def test_a_session_without_a_measurement_keeps_its_request() -> None:
    found: dict[str, Any] = failed_record(request={"host_condition": "busy:8"})
    assert recompute.differences(found) == []
    found["request"]["host_condition"] = "busy:0"
    (line,) = recompute.differences(found)
    assert line.startswith("request: host_condition=busy:0: must be pinned:K or busy:N")


def under(declared: str, other_cores: float) -> list[str]:
    """Returns the flags of a session on a host of 32 processors, of which others used so many."""
    found = example_record(host={"cores": 32})
    found["passes"]["wall"]["other_cpu_cores"] = other_cores
    flags: list[str] = conditioned(declared, found)["flags"]
    return flags


def test_a_pinned_worker_is_disturbed_by_a_share_of_all_processors_that_it_might_use() -> None:
    # 0.4 / 32 = 0.01; 8 / 32 = 0.25
    assert "disturbed" not in under("pinned:1", 0.4)
    assert "disturbed" in under("busy:8", 8.0)
