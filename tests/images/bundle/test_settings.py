"""The settings of a bundle: the first choice where nothing is asked for, and the name that follows from them."""

from __future__ import annotations

import pytest

from images.bundle.errors import Wrong
from images.bundle.settings import LOCKS, listed, settings


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (("cpu",), "decode-floor-cpu-cp312"),
        (("cpu", "cpu", "host-torch", "3.11"), "decode-floor-cpu-host-torch-cp311"),
        (("ada",), "decode-floor-ada-modern-cp312"),
        (("ada", "paper", "full"), "decode-floor-ada-paper-cp312"),
        (("hopper", "", "host-torch"), "decode-floor-hopper-modern-host-torch-cp312"),
    ],
)
def test_a_name_has_what_tells_one_bundle_from_another(asked: tuple[str, ...], name: str) -> None:
    assert settings(*asked).name == name


def test_settings_are_those_of_architecture_and_stack() -> None:
    ada = settings("ada", "paper")
    assert (ada.arch_list, ada.cuda, ada.min_driver, ada.extra_index_url) == (("8.9",), "12.4", "525", "")


def test_a_cpu_has_no_gpus_settings_but_an_index_of_its_own() -> None:
    cpu = settings("cpu")
    assert (cpu.arch_list, cpu.cuda, cpu.min_driver) == ((), "", "")
    assert cpu.extra_index_url.startswith("https://")


def test_a_stacks_locks_are_those_of_its_environment_without_what_is_compiled() -> None:
    assert settings("cpu").stack_locks() == [LOCKS / "cpu.txt", LOCKS / "cpu-torch.txt"]
    assert settings("ada", "paper").stack_locks() == [LOCKS / "paper.txt"]  # its kernels have a lock beside it


def test_an_unknown_choice_is_told_with_what_there_is() -> None:
    with pytest.raises(Wrong, match=r"^There is no stack 'cpu' for ada: choose STACK=modern or paper$"):
        settings("ada", "cpu")


@pytest.mark.parametrize(("words", "text"), [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")])
def test_words_are_listed_with_or_before_the_last(words: list[str], text: str) -> None:
    assert listed(words) == text
