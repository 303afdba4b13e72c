"""A plan: its words, and the job of a session."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from runner.plan.request import Request
from runner.plan.resolve import resolve


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ()),
        ({"protocol": "tail"}, ()),
        ({"steps": "12"}, ("custom-5-12",)),
        ({"host_condition": "pinned:1", "windows": "4", "cache": "static"}, ("pinned:1", "custom-5-4x30")),
    ],
)
def test_the_title_has_the_condition_of_the_host_and_counts_of_its_own(
    fields: dict[str, str], words: tuple[str, ...]
) -> None:
    plan = resolve(Request(gpu="cpu", **fields), ())
    assert plan.measured_as == words
    assert plan.condition_text == fields.get("host_condition")
    assert plan.title == " ".join((plan.cell.title, *words))


def test_the_job_of_a_plan_is_the_plan_with_a_session() -> None:
    plan = resolve(Request(gpu="cpu", ctx="64", seed="7", study="floor"), ())
    job = plan.job("0123456789abcdef", {"ctx": "64"}, 2, 1_000, 0.5)
    assert asdict(job.session) == {
        "id": "0123456789abcdef",
        "study": "floor",
        "index": 2,
        "seed": 7,
        "started_ms": 1_000,
    }
    same = ("cell", "protocol", "scheme", "device")
    assert [getattr(job, name) for name in same] == [getattr(plan, name) for name in same]
    assert (job.model_name, job.shape, job.given_flags) == (plan.model.key, plan.model.shape, plan.flags)
    assert (job.request, job.checkpoint, job.container, job.record_path) == ({"ctx": "64"}, None, None, "")
