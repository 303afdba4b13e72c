"""The request: plain tokens only, and what of it may be published."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from runner.errors import BadValue
from runner.plan.request import Request, option_map, whole_number

SHELL = ("a;b", "$(x)", "`x`", "a b", "a|b", "a&b", "a>b", "'a'", '"a"', "a\nb", "*", "?", "", "a\\b", "é", "{a}")


PATHS = ("/data/my model", "models/größe 7B", "Modèles (été) 100%", "~/a@b/[x] #1!", " leading", "模型")


IN_NAMES_OF_FOLDERS = ("a b", "é")
EVERYWHERE = [
    (field.name, value)
    for field in fields(Request)
    for value in SHELL
    if field.name != "weights" or value not in IN_NAMES_OF_FOLDERS
]


@pytest.mark.parametrize(("name", "value"), EVERYWHERE)
def test_shell_characters_are_refused_in_every_field(name: str, value: str) -> None:
    with pytest.raises(BadValue, match=rf"^{name}="):
        Request(**{name: value})


@pytest.mark.parametrize("value", PATHS)
def test_a_folder_of_weights_has_any_name(value: str) -> None:
    assert Request(weights=value).weights_are_local
    with pytest.raises(BadValue, match=r"^study="):
        Request(study=value)


def test_a_folder_of_weights_that_is_there_may_have_any_name_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "Bob's R&D; $x {y}*?"
    folder.mkdir()
    assert Request(weights=str(folder)).weights_are_local
    with pytest.raises(BadValue, match=r"^weights="):
        Request(weights=f"{folder}2")
    with pytest.raises(BadValue, match=r"^weights="):
        Request(weights="a;" * 5000)


def test_a_path_and_a_uuid_are_not_published() -> None:
    published = Request(weights="/home/me/model", device="GPU-1234").published()
    assert (published["weights"], published["device"]) == ("local", "by-uuid")


def test_an_index_and_a_word_are_published_as_typed() -> None:
    published = Request(weights="hub", device="1", gpu="l4").published()
    assert (published["weights"], published["device"], published["gpu"]) == ("hub", "1", "l4")


@pytest.mark.parametrize(("text", "minimum", "value"), [("1", 1, 1), ("0", 0, 0), ("2048", 1, 2048)])
def test_whole_numbers(text: str, minimum: int, value: int) -> None:
    assert whole_number("ctx", text, minimum) == value


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1e3", "1_000", "abc", "+5", "9" * 5000, "--1", "-"])
def test_what_is_not_a_positive_whole_number_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match=r"^ctx="):
        whole_number("ctx", text, 1)


@pytest.mark.parametrize(
    ("text", "expected"), [("none", {}), ("auto", {}), ("a:1", {"a": "1"}), ("a:1,b:x", {"a": "1", "b": "x"})]
)
def test_options(text: str, expected: dict[str, str]) -> None:
    assert option_map(text) == expected


@pytest.mark.parametrize("text", ["a", "a:", ":1", "a:1,", "a:1,a:2", "a:1,b"])
def test_malformed_options_are_refused(text: str) -> None:
    with pytest.raises(BadValue, match="name:value"):
        option_map(text)
