"""The common style: names are text, and what is left out is told."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from analysis.figures import context, style
from analysis.figures.svg import SVG, svg


@pytest.mark.medium
def test_a_name_with_markup_is_drawn_as_it_is(floor_rows):
    odd = [replace(row, model="$\\frac{1}{<b>}$ " + "x" * 200) for row in floor_rows]
    drawn = context.draw(odd)
    texts = [element.text or "" for element in ElementTree.fromstring(svg(drawn)).iter(f"{{{SVG}}}text")]
    assert any(text.strip().startswith("$\\frac") for text in texts)
    assert all(len(text.strip()) <= style.LONGEST_NAME for text in texts)


def test_a_choice_of_many_goes_from_first_to_last():
    assert style.spread(list(range(10)), 4) == [0, 3, 6, 9]
    assert style.spread([1, 2], 4) == [1, 2]
    assert style.spread([], 4) == []


def test_a_caption_says_what_is_left_out_and_nothing_where_all_is_drawn():
    assert style.left_out(40, 1000, "cells") == " Drawn: 40 of 1000 cells, evenly spread over the table."
    assert style.left_out(40, 41, "cells", "the first") == " Drawn: 40 of 41 cells, the first."
    assert style.left_out(40, 40, "cells") == ""


def test_a_long_name_ends_with_an_ellipsis_within_its_length():
    assert style.short("abcdef", 6) == "abcdef"
    assert style.short("abcdefg", 6) == "abcde…"


def test_a_wrapped_name_has_at_most_two_lines_of_the_width():
    assert style.wrapped("h100, qwen2.5-7b", 20) == "h100, qwen2.5-7b"
    assert style.wrapped("h100, qwen2.5-7b, ctx 2048", 18) == "h100, qwen2.5-7b,\nctx 2048"
    lines = style.wrapped("a " * 100, 10).splitlines()
    assert len(lines) == 2
    assert all(len(line) <= 10 for line in lines)
    assert lines[-1].endswith("…")


def test_a_legend_has_the_columns_that_fit():
    # 70 characters in a line, 7 beside each name: 70 // 10 = 7, at most 4; 70 // 47 = 1
    assert style.columns(["abc"]) == 4
    assert style.columns(["abc", "x" * 40]) == 1
    assert style.columns(["x" * 100]) == 1


@style.applied()
def test_a_logarithmic_axis_has_two_ticks_even_for_one_value():
    for value in (1.0, 7.3, 99.0, 0.02):
        axes = style.canvas(2).subplots()
        style.logarithmic(axes, "y", [value])
        low, high = axes.get_ylim()
        assert len([tick for tick in axes.get_yticks() if low <= tick <= high]) >= 2
