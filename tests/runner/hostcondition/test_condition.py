"""Declared conditions of the host, and whether this machine can have them."""

from __future__ import annotations

import os

import pytest

from runner.errors import BadPair
from runner.hostcondition.condition import BUSY, PINNED, HostCondition, check, requested
from runner.machine import host


def test_a_condition_is_written_as_it_is_requested() -> None:
    pinned, busy = HostCondition(PINNED, 1), HostCondition(BUSY, 8)
    assert [(each.text, each.neighbours) for each in (pinned, busy)] == [("pinned:1", 0), ("busy:8", 8)]


@pytest.mark.parametrize(
    ("request_", "declared"),
    [({}, None), ({"host_condition": "auto"}, None), ({"host_condition": "none"}, None),
     ({"host_condition": "busy:2"}, "busy:2")],
)  # fmt: skip
def test_the_condition_of_a_record_is_that_of_its_request(request_: dict[str, str], declared: str | None) -> None:
    assert requested(request_) == declared


def test_a_worker_is_not_pinned_to_more_processors_than_it_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "cpu_quota", lambda: None)
    cores = len(os.sched_getaffinity(0))
    check(HostCondition(PINNED, cores))
    with pytest.raises(BadPair, match=f"host_condition=pinned:{cores + 1} needs {cores + 1} .* use {cores} here"):
        check(HostCondition(PINNED, cores + 1))


def test_a_quota_of_processor_time_counts_like_missing_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "cpu_quota", lambda: 0.5)
    with pytest.raises(BadPair, match=r"needs 1 processor, and this process may use 0\.5 here"):
        check(HostCondition(PINNED, 1))
    check(HostCondition(BUSY, 200))
