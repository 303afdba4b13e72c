"""The request: plain tokens only, and what of it may be published."""

from __future__ import annotations

from dataclasses import fields

import pytest

from runner.errors import BadValue
from runner.request import Request, option_map, whole_number

SHELL = ("a;b", "$(x)", "`x`", "a b", "a|b", "a&b", "a>b", "'a'", '"a"', "a\nb", "*", "?", "", "a\\b", "é", "{a}")


@pytest.mark.parametrize("value", SHELL)
@pytest.mark.parametrize("name", [field.name for field in fields(Request)])
def test_shell_characters_are_refused_in_every_field(name: str, value: str) -> None:
    with pytest.raises(BadValue, match=rf"^{name}="):
        Request(**{name: value})


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
