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
