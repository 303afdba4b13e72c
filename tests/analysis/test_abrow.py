"""The row of an A/B: what it says about its arms."""

from dataclasses import replace

import pytest

from tests.support.frames import AB_ROW


@pytest.mark.parametrize(
    "change",
    [
        {"quant": "awq"},
        {"dtype": "fp16"},
        {"attention": "x"},
        {"protocol": "custom-1-3"},
        {"options": "sdpa:flash"},
        {"field": "options", "arm_a": "none", "arm_b": "sdpa:flash"},
        {"implied": {"options": ({}, {"mode": "default"})}},
    ],
)
def test_an_ab_is_usual_if_its_cell_is_like_the_papers(change):
    assert AB_ROW.is_usual
    assert not replace(AB_ROW, **change).is_usual


def test_the_further_fields_that_differ_are_named_with_both_values():
    assert (AB_ROW.implied_values, AB_ROW.implied_words) == ([], "")
    row = replace(AB_ROW, implied={"kernel": ("cublas", "fused"), "options": ({}, {"mode": "default"})})
    assert row.implied_values == ["kernel: cublas and fused", "options: none and mode:default"]
    assert row.implied_words == "kernel: cublas and fused; options: none and mode:default"
