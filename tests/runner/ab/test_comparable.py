"""Two sessions stand in one A/B only where place and environment are one, and within an arm the code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.ab import comparable, facts
from runner.ab.facts import Facts
from runner.record.sections.head import ContainerInfo
from tests.support.derive import typed
from tests.support.records import cpu_record, example_record

FIRST = facts.record_facts(typed(example_record()))
IMAGE = facts.place_of(ContainerInfo("docker", "", "sha256:1", ""))


def versions(**changed: str) -> dict[str, Any]:
    return {"versions": {**FIRST.versions, **changed}}


def later(**changed: Any) -> Facts:
    return replace(FIRST, **changed)


@pytest.mark.parametrize(
    ("found", "same", "other", "said"),
    [
        (later(), [FIRST], [FIRST], None),
        (later(cell_key="0" * 12), [], [], "it resolved to another cell than declared"),
        (
            later(place=IMAGE),
            [FIRST],
            [],
            "it was measured in docker's image sha256:1, the earlier sessions in the runner's own",
        ),
        (
            later(place=IMAGE),
            [],
            [FIRST],
            "it was measured in docker's image sha256:1, the earlier sessions in the runner's own",
        ),
        (later(**versions(torch="9.9")), [FIRST], [], "torch is 9.9, and was 2.11.0"),
        (later(**versions(torch="9.9")), [], [FIRST], "torch is 9.9, and was 2.11.0"),
        (later(**versions(torch="9.9")), [], [later(kernel="marlin")], "torch is 9.9, and was 2.11.0"),
        (later(**versions(kernel_package="x 1")), [], [FIRST], "kernel_package is x 1, and was None"),
        (later(**versions(kernel_package="x 1")), [], [later(kernel="marlin")], None),
        (later(versions={"env_key": "1"}), [], [later(kernel="marlin", versions={"env_key": "2"})], None),
        (later(versions={"env_key": "1"}), [], [later(versions={"env_key": "2"})], "env_key is 1, and was 2"),
        (later(code_key="0" * 12), [FIRST], [], "the project's code has changed since"),
        (later(code_key="0" * 12), [], [FIRST], None),
    ],
)
def test_an_obstacle_is_said(found: Facts, same: list[Facts], other: list[Facts], said: str | None) -> None:
    text = comparable.obstacle(found, FIRST.cell_key, same, other)
    assert text is said is None or (text or "").startswith(str(said))


@pytest.mark.parametrize("changed", [{"place": IMAGE}, versions(torch="9.9"), {"code_key": "0" * 12}])
def test_the_first_session_of_each_arm_is_asked_and_no_later_one(changed: dict[str, Any]) -> None:
    """One that did not count for another place, environment or code keeps no later one from counting."""
    unused = later(**changed)
    before = [FIRST, unused]
    assert comparable.obstacle(later(), FIRST.cell_key, before, before) is None
    assert comparable.obstacle(unused, FIRST.cell_key, before, []) is not None


def test_arms_of_different_kernels_may_have_different_packages_and_nothing_else() -> None:
    found, other = (
        facts.record_facts(typed(cpu_record())),
        facts.record_facts(typed(cpu_record(cell={"kernel": "marlin"}))),
    )
    packaged = replace(other, versions={**other.versions, "kernel_package": "marlin 1"})
    assert comparable.obstacle(packaged, packaged.cell_key, [], [found]) is None
    newer = replace(packaged, versions={**packaged.versions, "cuda": "99"})
    assert comparable.obstacle(newer, newer.cell_key, [], [found]) == f"cuda is 99, and was {found.versions['cuda']}"
    again = replace(packaged, versions={**packaged.versions, "kernel_package": "marlin 2"})
    said = comparable.obstacle(again, again.cell_key, [packaged], [found])
    assert said == "kernel_package is marlin 2, and was marlin 1"
