"""The image that a cell needs: its name, its labels, and the driver that it asks for."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from runner.cell import catalogue
from runner.errors import NoContainer
from runner.launch.container import engine, image
from runner.plan.sessionplan import Plan
from tests.runner.launch.container.fake import FakeEngine, choose, present


@pytest.mark.medium
def test_a_driver_too_old_for_the_image_is_told_before_anything_starts(
    engines: Callable[..., list[FakeEngine]], l4_plan: Callable[..., Plan]
) -> None:
    engines(podman=present(min_driver="580"))
    with pytest.raises(NoContainer, match=r"needs NVIDIA driver 580 or newer, this host has 535\.129\.03"):
        choose("container", "auto", l4_plan("535.129.03"))
    assert choose("container", "auto", l4_plan("580.65.06")).info is not None
    assert choose("container", "auto", l4_plan("1000.1")).info is not None  # a number, not a word


@pytest.mark.medium
def test_an_older_cuda_is_named_where_the_kernel_lives_in_one(
    engines: Callable[..., list[FakeEngine]], l4_plan: Callable[..., Plan]
) -> None:
    engines(podman=present(min_driver="580"))
    for quant, end in (("gptq", ", or use an image of an older CUDA (make image-ada STACK=paper, then "), ("awq", "")):
        with pytest.raises(NoContainer, match=f"update it{re.escape(end)}" + ("stack=paper" if end else "$")):
            choose("container", "auto", l4_plan("535.129.03", quant=quant))


@pytest.mark.medium
def test_a_tag_on_another_image_makes_it_no_other(
    engines: Callable[..., list[FakeEngine]], cpu_plan: Plan, l4_plan: Callable[..., Plan]
) -> None:
    engines(podman=present())  # says cpu of itself, whatever it is asked for
    with pytest.raises(NoContainer, match="decode-floor:ada-modern is labelled cpu and cpu: make image-ada"):
        choose("container", "auto", l4_plan("580.65.06"))
    engines(podman=present(stack="modern"))
    with pytest.raises(NoContainer, match="decode-floor:cpu is labelled cpu and modern"):
        choose("container", "auto", cpu_plan)


def test_a_gpu_without_an_image_says_why() -> None:
    with pytest.raises(NoContainer, match="it is not in the catalogue"):
        image.name(None, "auto", ("modern",))


@pytest.mark.parametrize(
    ("gpu", "stack", "stacks", "expected"),
    [
        ("cpu", "auto", ("modern",), "decode-floor:cpu"),
        ("cpu", "modern", ("modern",), "decode-floor:cpu"),
        ("l4", "auto", ("paper", "modern"), "decode-floor:ada-paper"),
        ("l4", "modern", ("paper", "modern"), "decode-floor:ada-modern"),
    ],
)
def test_an_image_is_named_by_architecture_and_stack(
    gpu: str, stack: str, stacks: tuple[str, ...], expected: str
) -> None:
    assert image.name(catalogue.gpus()[gpu], stack, stacks) == expected


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("decode-floor:cpu", "make image-cpu"),
        ("decode-floor:ada-modern", "make image-ada"),
        ("decode-floor:ada-paper", "make image-ada STACK=paper"),
    ],
)
def test_the_command_that_builds_it_names_an_unusual_stack(name: str, command: str) -> None:
    assert image.make_target(name) == command


def test_without_labels_it_is_none_of_ours() -> None:
    with pytest.raises(
        NoContainer, match="is labelled no architecture and no stack: make image-cpu builds the one of that name"
    ):
        image.check_labels(engine.Image("decode-floor:cpu", "sha256:0", {}))


def test_a_driver_or_a_need_that_is_unknown_keeps_nothing_from_starting() -> None:
    needs = engine.Image(
        "decode-floor:ada-modern", "sha256:0", {image.MINIMUM_DRIVER: "580", image.ARCHITECTURE: "ada"}
    )
    image.check_driver(needs, None, ("modern",))
    image.check_driver(engine.Image("decode-floor:cpu", "sha256:0", {}), "1.0", ("modern",))
    with pytest.raises(NoContainer, match="needs NVIDIA driver 580 or newer, this host has 579"):
        image.check_driver(needs, "579.99", ("modern",))
