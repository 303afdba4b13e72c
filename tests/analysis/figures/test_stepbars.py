"""Panels of bars: the text of a bar, its place beside or inside, and the axis."""

from dataclasses import replace

import pytest

from analysis import form
from analysis.figures import stepbars
from tests.support import drawings

WIDTH = 200.0  # points


@pytest.fixture
def row(floor_rows):
    """A step of 20 ms without flags, of a runtime without hatch."""
    shown = next(row for row in floor_rows if row.valid)
    return replace(shown, runtime="eager", floor_ms=2.0, step_wall_ms=20.0, flags=[])


def texts_of(axes):
    """Returns each bar's text, and whether it begins right of the bar's end."""
    texts = zip(axes.texts, axes.patches, strict=True)
    return [(text.get_text(), text.get_position()[0] > bar.get_width()) for text, bar in texts]


def test_beside_a_bar_stands_the_percent_of_its_floor_and_its_flags(row):
    # floor 3 ms of a step of 12 ms: 25 %
    row = replace(row, floor_ms=3.0, step_wall_ms=12.0, flags=["throttled", "drifting"])
    letters = form.letters(each.flags for each in (row, replace(row, flags=["host-busy"])))
    assert letters == {"drifting": "a", "host-busy": "b", "throttled": "c"}
    assert stepbars.bar_text(row, letters) == "12.0 ms, 25 % (ac)"
    assert stepbars.bar_text(replace(row, flags=[]), letters) == "12.0 ms, 25 %"


@pytest.mark.parametrize(
    ("step_ms", "text"), [(3.552, "3.55 ms, 56 %"), (9.994, "9.99 ms, 20 %"), (24.73, "24.7 ms, 8 %")]
)
def test_a_step_has_three_digits(row, step_ms, text):
    assert stepbars.bar_text(replace(row, step_wall_ms=step_ms), {}) == text


def test_an_axis_ends_behind_the_longest_bar_whose_text_is_inside(row):
    # 13 characters of 4.3 points: beside the bar the axis would end at 20 · 200 / (200 - 60.2) = 28.61 ms
    assert stepbars.bar_text(row, {}) == "20.0 ms, 10 %"
    inside = stepbars.scale([row], {}, WIDTH)
    assert inside.end_ms == pytest.approx(20.2)
    beside = stepbars.scale([replace(row, runtime="graph")], {}, WIDTH)
    assert beside.end_ms == pytest.approx(20 * WIDTH / (WIDTH - 14 * 4.3))


def test_a_text_has_no_room_left_of_the_floor_or_on_a_hatch(row):
    scale = stepbars.Scale(longest_ms=20.0, end_ms=20.2, points_per_ms=4.0)
    text = stepbars.bar_text(row, {})
    assert scale.has_room(row, text)  # (20 - 2) · 4 = 72 points, of which the text takes 15 · 4.3 = 64.5
    assert not scale.has_room(replace(row, floor_ms=4.0), text)  # (20 - 4) · 4 = 64
    assert not scale.has_room(replace(row, runtime="graph"), text)


@pytest.mark.medium
def test_a_long_bar_has_its_text_inside_and_a_short_one_beside(row):
    short = replace(row, runtime="fused", step_wall_ms=2.5)
    figure = stepbars.draw([[row, short]])
    (axes,) = figure.axes
    assert texts_of(axes) == [("20.0 ms, 10 %", False), ("2.50 ms, 80 %", True)]
    assert drawings.faults(figure) == []


@pytest.mark.medium
@pytest.mark.parametrize("one_scale", [False, True])
def test_panels_of_one_scale_share_their_axis(row, one_scale):
    faster = replace(row, gpu="h100", step_wall_ms=8.0)
    figure = stepbars.draw([[row], [faster]], one_scale)
    upper, lower = figure.axes
    assert (upper.get_xlim() == lower.get_xlim()) is one_scale
    assert (upper.get_xlabel() == "") is one_scale
    assert lower.get_xlabel() == "ms per step"
    assert drawings.faults(figure) == []
