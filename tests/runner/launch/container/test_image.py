"""The image that a cell needs: its name, its labels, and the driver that it asks for."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from runner.errors import NoContainer
from runner.launch.container import image
from runner.plan.resolve import Plan
from tests.runner.launch.container.fake import FakeEngine, choose, present


def test_a_driver_too_old_for_the_image_is_told_before_anything_starts(
    engines: Callable[..., list[FakeEngine]], l4_plan: Callable[..., Plan]
) -> None:
    engines(podman=present(min_driver="580"))
    with pytest.raises(NoContainer, match=r"needs NVIDIA driver 580 or newer, this host has 535\.129\.03"):
        choose("container", "auto", l4_plan("535.129.03"))
    assert choose("container", "auto", l4_plan("580.65.06")).info is not None
    assert choose("container", "auto", l4_plan("1000.1")).info is not None  # a number, not a word


def test_an_older_cuda_is_named_where_the_kernel_lives_in_one(
    engines: Callable[..., list[FakeEngine]], l4_plan: Callable[..., Plan]
) -> None:
    engines(podman=present(min_driver="580"))
    for quant, end in (("gptq", ", or use an image of an older CUDA (make image-ada STACK=paper, then "), ("awq", "")):
        with pytest.raises(NoContainer, match=f"update it{re.escape(end)}" + ("stack=paper" if end else "$")):
            choose("container", "auto", l4_plan("535.129.03", quant=quant))


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
