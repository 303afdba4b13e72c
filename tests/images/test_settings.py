"""images/arch/ and images/stack/: complete, and of one mind with the catalogue of GPUs."""

from __future__ import annotations

import pytest

from runner.cell import catalogue, vocabulary
from tests.images.settings import ARCHITECTURES, IMAGES, ROOT, STACKS

MARKS = ("file:///", "/etc/ssl", "trusted-host", "index-url =", "BEGIN CERTIFICATE", "_TOKEN", "password")
"""What would give away a mirror, a certificate or a credential of the machine where somebody wrote it down."""


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_has_all_its_settings(name: str) -> None:
    settings = ARCHITECTURES[name]
    assert set(settings) == {"ARCH_LIST", "STACKS"}
    assert settings["STACKS"].split()
    assert set(settings["STACKS"].split()) <= set(STACKS)
    assert (settings["ARCH_LIST"] == "") == (name == "cpu")


@pytest.mark.parametrize("name", STACKS)
def test_a_stack_has_all_its_settings(name: str) -> None:
    settings = STACKS[name]
    names = {"CUDA_VERSION", "MIN_DRIVER", "EXTRA_INDEX_URL", "COMPILER_URL", "COMPILER_SHA256", "DISK_GB"}
    assert set(settings) == names
    assert int(settings["DISK_GB"]) > 0
    assert bool(settings["COMPILER_URL"]) == bool(settings["COMPILER_SHA256"])
    if name == "cpu":
        assert (settings["CUDA_VERSION"], settings["MIN_DRIVER"]) == ("", "")
    else:
        assert int(settings["MIN_DRIVER"]) > 0


def test_the_stacks_are_those_of_the_project() -> None:
    assert set(STACKS) == {*vocabulary.STACKS, "cpu"}


def test_there_is_no_paper_image_for_blackwell() -> None:
    """CUDA 12.4 does not know it."""
    assert ("blackwell", "paper") not in IMAGES
    assert {("ada", "paper"), ("ada", "modern"), ("blackwell", "modern"), ("cpu", "cpu")} <= set(IMAGES)


@pytest.mark.parametrize("key", catalogue.gpus())
def test_a_gpu_of_the_catalogue_runs_what_its_image_holds(key: str) -> None:
    """Its own capability or one below it of the same major version: machine code runs on no other."""
    gpu = catalogue.gpus()[key]
    if gpu.image is None:
        return
    assert gpu.image in ARCHITECTURES, f"{key} names an image that is not built"
    compiled = ARCHITECTURES[gpu.image]["ARCH_LIST"].split()
    if gpu.compute_capability is None:
        assert compiled == []
        return
    major, minor = gpu.compute_capability.split(".")
    assert any(name.split(".")[0] == major and int(name.split(".")[1]) <= int(minor) for name in compiled), key


def test_each_architecture_is_some_gpus() -> None:
    assert {gpu.image for gpu in catalogue.gpus().values() if gpu.image} == set(ARCHITECTURES)


def test_nothing_of_the_building_machine_is_in_what_is_built_from() -> None:
    """A mirror, a certificate or a credential would stay in everybody's layers."""
    for file in (ROOT / "images").rglob("*"):
        if file.is_file() and file.suffix != ".pyc":
            text = file.read_text(encoding="utf-8")
            for mark in MARKS:
                assert mark not in text, f"{file} has {mark}"
