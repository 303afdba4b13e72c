"""The facts of a session that the check of an A/B uses."""

from __future__ import annotations

from runner.ab import facts
from runner.record.sections.head import ContainerInfo
from tests.support.derive import typed
from tests.support.records import example_record, failed_record


def test_a_session_without_an_end_began_and_ended_at_once() -> None:
    found = example_record()
    assert facts.record_facts(typed(found)).finished_ms == found["session"]["finished_ms"]
    failed = failed_record()
    assert facts.record_facts(typed(failed)).finished_ms == failed["session"]["started_ms"]


def test_the_facts_of_a_measured_session_are_those_of_its_record() -> None:
    found = example_record(session={"seed": 3, "index": 4, "study": "mine"})
    told = facts.record_facts(typed(found))
    assert told.stated == {
        "session.id": found["session"]["id"],
        "session.index": 4,
        "session.seed": 3,
        "session.study": "mine",
        "protocol": {"name": "paper", "warmup": 5, "steps": 30},
    }
    assert (told.cell_key, told.host_id, told.code_key) == tuple(
        found["keys"][name] for name in ("cell_key", "host_id", "code_key")
    )
    assert {name: value for name, value in told.versions.items() if found["environment"][name] != value} == {}
    assert set(told.versions) == {"python", "torch", "cuda", "transformers", "triton", "kernel_package", "driver_major"}
    assert (told.is_measured, told.is_valid, told.reasons) == (True, True, "")


def test_a_session_that_was_not_measured_has_its_reason_and_no_host_or_versions() -> None:
    found = failed_record("oom")
    told = facts.record_facts(typed(found))
    assert (told.is_measured, told.is_valid, told.reasons) == (False, False, found["reasons"][0])
    assert (told.host_id, told.code_key, {*told.versions.values()}) == (None, None, {None})


def test_an_image_is_known_by_its_digest_and_not_by_its_name() -> None:
    first = ContainerInfo("podman", "decode-floor:cpu", "sha256:0123", "")
    assert facts.place_of(first) == facts.place_of(ContainerInfo("podman", "renamed", "sha256:0123", ""))
    assert facts.place_of(first) == "podman's image sha256:0123"
    assert facts.place_of(None) == "the runner's own interpreter"
    inside = example_record(container={"engine": "docker", "image": "i", "digest": "sha256:1", "tree_key": "0" * 12})
    assert facts.record_facts(typed(inside)).place == "docker's image sha256:1"
