"""JSON of others is damaged where Python cannot read it, however it fails to, and each reader says so."""

from __future__ import annotations

import json

import pytest

from runner.files import jsontext
from tests.support.damaged import DEEP


@pytest.mark.parametrize("text", DEEP)
def test_brackets_without_end_are_no_json(text: str) -> None:
    for given in (text, text.encode()):
        with pytest.raises(ValueError, match=r"^brackets nested too deeply$"):
            jsontext.loads(given)


def test_all_else_is_as_json_reads_it() -> None:
    text = '{"a": [1, 2.5, null, true, "\\u00e9"]}'
    assert jsontext.loads(text) == jsontext.loads(text.encode()) == json.loads(text)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "c": 2, "a": 3}}]'])
def test_a_name_that_occurs_twice_is_damage(text: str) -> None:
    """Python would use the last value, and another reader the first."""
    with pytest.raises(ValueError, match=r"^'a' occurs twice in an object$"):
        jsontext.loads(text)


@pytest.mark.parametrize("text", ['"\\ud800"', '{"\\uDFFF": 1}', '["\\udc00\\ud83d"]'])
def test_half_a_surrogate_pair_is_damage(text: str) -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        jsontext.loads(text)


def test_a_whole_surrogate_pair_and_an_escaped_backslash_are_text() -> None:
    assert jsontext.loads(r'["\ud83d\ude00", "\\ud800"]') == ["\U0001f600", "\\ud800"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_bytes_are_utf8(encoding: str) -> None:
    with pytest.raises(ValueError, match=r"codec can't decode|Expecting|Extra data"):
        jsontext.loads('{"é": 1}'.encode(encoding))


def test_numbers_are_judged_as_written() -> None:
    def refuse(text: str) -> None:
        raise ValueError(f"no {text}")

    for text in ("NaN", "-Infinity"):
        with pytest.raises(ValueError, match=f"no {text}"):
            jsontext.loads(text, parse_constant=refuse)
    with pytest.raises(ValueError, match="no -0"):
        jsontext.loads("[-0]", parse_int=refuse)
