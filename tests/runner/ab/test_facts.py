"""The facts of a session that the check of an A/B uses."""

from __future__ import annotations

from runner.ab import facts
from tests.support.derive import typed
from tests.support.records import example_record, failed_record


def test_a_session_without_an_end_began_and_ended_at_once() -> None:
    found = example_record()
    assert facts.of_record(typed(found)).finished_ms == found["session"]["finished_ms"]
    failed = failed_record()
    assert facts.of_record(typed(failed)).finished_ms == failed["session"]["started_ms"]
