"""The values of limits, and one line for each that is none."""

from __future__ import annotations

from typing import Any

import pytest

from analysis.choose.limits import Limits, limits
from runner.errors import BadValue

NONE = {"miss": "auto", "usd_per_mtok": "auto", "joules_per_token": "auto"}


def of(**texts: Any) -> Limits:
    return limits(**{"deadline_ms": "50", "tokens": "1", **NONE, **texts})


def test_auto_is_no_limit() -> None:
    assert of() == Limits(50.0)
    assert of(deadline_ms="7.5", tokens="8", miss="1e-3", usd_per_mtok="3", joules_per_token="0.5") == Limits(
        7.5, 8, 0.001, 3.0, 0.5
    )


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast", "", "5 ms"])
@pytest.mark.parametrize("name", ["deadline_ms", "usd_per_mtok", "joules_per_token", "miss"])
def test_a_limit_is_a_finite_number_above_0(name: str, text: str) -> None:
    with pytest.raises(BadValue, match=f"--{name.replace('_', '-')} ") as caught:
        of(**{name: text})
    assert "number" in str(caught.value)


@pytest.mark.parametrize("text", ["0", "-8", "2.5", "eight", "", "٨"])
def test_tokens_are_counted(text: str) -> None:
    with pytest.raises(BadValue, match=r"--tokens .* a whole number of at least 1"):
        of(tokens=text)


@pytest.mark.parametrize("text", ["0", "1", "5", "nan"])
def test_a_probability_is_between_0_and_1(text: str) -> None:
    with pytest.raises(BadValue, match=f"--miss {text}: a number above 0 and below 1 is needed, such as 0.001"):
        of(miss=text)


def test_the_words_of_limits_name_each() -> None:
    assert Limits(50.0).words == "50 ms"
    assert Limits(400.0, 8, 0.001, 3.0, 0.5).words == (
        "400 ms for 8 tokens, missed with a probability of at most 0.001, at most 3 $/Mtok, at most 0.5 J/token"
    )
