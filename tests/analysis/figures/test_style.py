"""The common style: names are text, and what is left out is told."""

from dataclasses import replace

import pytest

from analysis.figures import context, style


@pytest.mark.medium
def test_a_name_with_markup_is_drawn_as_it_is(floor_rows):
    odd = [replace(row, model="$\\frac{1}{<b>}$ " + "x" * 200) for row in floor_rows]
    drawn = context.draw(odd)
    assert style.png(drawn).startswith(b"\x89PNG")
    assert all(len(axes.get_title(loc="left")) <= style.LONGEST_NAME for axes in drawn.figure.axes)


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
