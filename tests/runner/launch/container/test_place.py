"""Which engine and image a session gets, and one clear line where it gets none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runner.errors import NoContainer
from runner.launch.container import place
from runner.plan.request import Request
from runner.plan.resolve import resolve
from runner.plan.sessionplan import Plan
from tests.runner.launch.container.fake import ABSENT, AWAY, FakeEngine, choose, present


def test_here_asks_no_engine(engines: Callable[..., list[FakeEngine]], cpu_plan: Plan) -> None:
    (podman,) = engines(podman=present())
    assert choose("here", "auto", cpu_plan) == place.Place()
    assert podman.told() == []


@pytest.mark.medium
def test_auto_is_here_without_an_engine_and_in_the_container_where_the_image_is(
    engines: Callable[..., list[FakeEngine]], cpu_plan: Plan
) -> None:
    engines()
    assert choose("auto", "auto", cpu_plan) == place.Place()
    (podman,) = engines(podman=present())
    chosen = choose("auto", "auto", cpu_plan)
    assert podman.told() == [["image", "inspect", "decode-floor:cpu"]]
    assert chosen.info is not None
    assert (chosen.info.engine, chosen.info.image) == ("podman", "decode-floor:cpu")
    assert chosen.info.digest.startswith("sha256:")
    assert len(chosen.info.digest) == len("sha256:") + 64
    assert (chosen.notice, chosen.flags) == (None, ())


@pytest.mark.medium
def test_auto_without_the_image_is_here_and_says_what_would_build_it(
    engines: Callable[..., list[FakeEngine]], cpu_plan: Plan
) -> None:
    engines(podman=ABSENT)
    chosen = choose("auto", "auto", cpu_plan)
    assert chosen.info is None
    assert chosen.notice == (
        "measuring in this interpreter: there is no image decode-floor:cpu: make image-cpu builds it"
    )


@pytest.mark.medium
def test_docker_says_of_a_missing_image_what_its_documentation_has(
    engines: Callable[..., list[FakeEngine]], cpu_plan: Plan
) -> None:
    """No transcript: none of an engine of Docker's was to be had."""
    absent = "Error response from daemon: No such image: decode-floor:cpu\n"
    engines(docker={"image inspect": {"out": "[]\n", "err": absent, "code": 1}})
    with pytest.raises(NoContainer, match=r"^there is no image decode-floor:cpu: make image-cpu builds it$"):
        choose("container", "auto", cpu_plan)


@pytest.mark.medium
def test_insisting_names_what_is_missing(
    engines: Callable[..., list[FakeEngine]], cpu_plan: Plan, l4_plan: Callable[..., Plan]
) -> None:
    engines()
    with pytest.raises(NoContainer, match=r"^a container needs Docker or Podman on PATH"):
        choose("container", "auto", cpu_plan)
    engines(docker=AWAY)
    with pytest.raises(NoContainer, match=r"^docker is installed but does not answer \(Cannot connect to the Docker"):
        choose("container", "auto", cpu_plan)
    engines(podman=ABSENT)
    with pytest.raises(NoContainer, match=r"^there is no image decode-floor:cpu: make image-cpu builds it$"):
        choose("container", "auto", cpu_plan)
    plan = l4_plan("580.65.06")
    with pytest.raises(NoContainer, match=r"no image decode-floor:ada-modern: make image-ada builds it$"):
        choose("container", "auto", plan)
    with pytest.raises(NoContainer, match=r"no image decode-floor:ada-paper: make image-ada STACK=paper builds it$"):
        choose("container", "paper", plan)


@pytest.mark.medium
def test_another_stack_is_never_measured_in_whatever_is_here(
    engines: Callable[..., list[FakeEngine]], l4_plan: Callable[..., Plan]
) -> None:
    plan = l4_plan("580.65.06")
    engines()
    with pytest.raises(NoContainer, match="a container needs Docker or Podman"):
        choose("auto", "paper", plan)
    engines(podman=ABSENT)
    with pytest.raises(NoContainer, match="make image-ada STACK=paper builds it"):
        choose("auto", "paper", plan)
    assert choose("here", "paper", plan).info is None  # whoever says so vouches for it
    assert choose("auto", "modern", plan).info is None
    engines(podman=present())
    with pytest.raises(NoContainer, match="the image decode-floor:cpu is not of stack=paper: use where=here"):
        choose("auto", "paper", resolve(Request(gpu="cpu", model="tiny", ctx="64", stack="paper"), ()))


@pytest.mark.medium
def test_the_usual_stack_asked_for_by_name_is_told_where_this_interpreter_may_be_of_another(
    engines: Callable[..., list[FakeEngine]], l4_plan: Callable[..., Plan]
) -> None:
    plan = l4_plan("580.65.06")
    engines()
    assert choose("auto", "modern", plan).notice == (
        "measuring in this interpreter, which may not be of stack=modern: "
        "a container needs Docker or Podman on PATH: install one, or use where=here"
    )
    engines(podman=ABSENT)
    assert choose("auto", "modern", plan).notice == (
        "measuring in this interpreter, which may not be of stack=modern: "
        "there is no image decode-floor:ada-modern: make image-ada builds it"
    )
    assert choose("here", "modern", plan).notice is None  # whoever says so vouches for it


@pytest.mark.medium
def test_an_engine_that_does_not_answer_gives_way_to_one_that_does(
    engines: Callable[..., list[FakeEngine]], cpu_plan: Plan
) -> None:
    engines(docker=AWAY, podman=present())
    chosen = choose("container", "auto", cpu_plan)
    assert chosen.container is not None
    assert chosen.container.engine.name == "podman"


@pytest.mark.medium
def test_an_engine_that_does_not_answer_is_named_only_where_a_container_was_asked_for(
    engines: Callable[..., list[FakeEngine]], cpu_plan: Plan
) -> None:
    engines(docker=AWAY)
    assert choose("auto", "auto", cpu_plan) == place.Place()
    assert "docker is installed but does not answer" in (choose("auto", "modern", cpu_plan).notice or "")
    with pytest.raises(NoContainer, match=r"docker is installed but does not answer .*, or use where=here"):
        choose("container", "auto", cpu_plan)


@pytest.mark.medium
def test_a_docker_that_remaps_users_is_not_usable(engines: Callable[..., list[FakeEngine]], cpu_plan: Plan) -> None:
    remapping = {**present(), "info": {"out": '["name=seccomp,profile=builtin","name=userns"]\n'}}
    engines(docker=remapping)
    with pytest.raises(NoContainer, match=r"^docker remaps user ids .*userns-remap.*, or use where=here$"):
        choose("container", "auto", cpu_plan)
    chosen = choose("auto", "auto", cpu_plan)
    assert chosen.container is None
    assert (chosen.notice or "").startswith("measuring in this interpreter: docker remaps user ids (userns-remap)")
    engines(docker=remapping, podman=present())
    chosen = choose("container", "auto", cpu_plan)
    assert chosen.container is not None
    assert chosen.container.engine.name == "podman"


@pytest.mark.medium
def test_a_spool_that_a_container_could_not_write_keeps_a_session_here(
    engines: Callable[..., list[FakeEngine]], cpu_plan: Plan, tmp_path: Path
) -> None:
    engines(podman=present())
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o500)
    found = choose("auto", "auto", cpu_plan, spool)
    assert found.info is None
    assert found.notice is not None
    assert "cannot be written in a container" in found.notice
    with pytest.raises(NoContainer, match="cannot be written in a container"):
        choose("container", "auto", cpu_plan, spool)


@pytest.mark.medium
def test_an_image_of_other_code_is_flagged(engines: Callable[..., list[FakeEngine]], cpu_plan: Plan) -> None:
    engines(podman=present(tree_key="0123456789ab"))
    chosen = choose("auto", "auto", cpu_plan)
    assert chosen.flags == ("other-tree",)
    assert chosen.info is not None
    assert chosen.info.tree_key == "0123456789ab"
    assert "was built from other code (tree_key 0123456789ab" in (chosen.notice or "")
    assert "make image-cpu builds it again" in (chosen.notice or "")
