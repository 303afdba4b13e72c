"""Step times as bars, each with the floor of its own bytes."""

from dataclasses import replace

import pytest

from analysis import form, protocoltitles
from analysis.figures import steps
from tests.support import drawings


def shown(floor_rows):
    """Returns the rows of the panel with the most bars."""
    of_panel = [row for row in floor_rows if steps.is_shown(row) and (row.model, row.ctx) == ("qwen2.5-7b", 2048)]
    return protocoltitles.comparable(of_panel)


def bars_of(axes):
    return [(bar.get_y() + bar.get_height() / 2, bar.get_width()) for bar in axes.patches]


def ticks_of(axes):
    """Returns the floors that are drawn, from top to bottom."""
    return [line.get_xdata()[0] for line in axes.lines if line.get_color() == "#000000"]


@pytest.mark.medium
def test_each_bar_is_a_row_with_the_tick_at_its_own_floor_and_the_shortest_on_top(floor_rows):
    (axes,) = steps.draw(floor_rows).figure.axes
    rows = shown(floor_rows)
    rows.sort(key=lambda row: row.step_wall_ms)
    assert axes.get_title(loc="left") == "h200, qwen2.5-7b, ctx 2048"
    assert bars_of(axes) == [(place, row.step_wall_ms) for place, row in enumerate(rows)]
    assert ticks_of(axes) == [row.floor_ms for row in rows]
    assert axes.get_xlim()[0] == 0
    assert axes.get_xlim()[1] > rows[-1].step_wall_ms
    texts = [text.get_text() for text in axes.texts]
    for row, text in zip(rows, texts, strict=True):
        assert text.startswith(f"{row.step_wall_ms:.1f} ms, {100 * row.r_floor:.0f} %")


def test_beside_a_bar_stands_the_percent_of_its_floor_and_its_flags(floor_rows):
    # floor 3 ms of a step of 12 ms: 25 %
    row = replace(floor_rows[0], floor_ms=3.0, step_wall_ms=12.0, flags=["throttled", "drifting"])
    letters = form.letters(each.flags for each in (row, replace(row, flags=["host-busy"])))
    assert letters == {"drifting": "a", "host-busy": "b", "throttled": "c"}
    assert steps.bar_text(row, letters) == "12.0 ms, 25 % (ac)"
    assert steps.bar_text(replace(row, flags=[]), letters) == "12.0 ms, 25 %"


@pytest.mark.medium
def test_the_letters_are_explained_in_the_figure(floor_rows):
    figure = steps.draw(floor_rows).figure
    note = figure.get_supxlabel().replace("\xa0", " ")
    flags = sorted({flag for row in floor_rows if row.valid for flag in row.flags})
    assert note.startswith("Flags: a ")
    assert all(flag in note for flag in flags)


@pytest.mark.medium
def test_few_sessions_an_invalid_row_and_a_cell_without_floor_have_no_bar(floor_rows):
    best = shown(floor_rows)
    hidden = [replace(best[0], sessions=2), replace(best[0], valid=False), replace(best[0], floor_ms=None)]
    assert not any(map(steps.is_shown, hidden))
    (axes,) = steps.draw([*best, *hidden]).figure.axes
    assert len(axes.patches) == len(best)


@pytest.mark.medium
def test_a_gpu_has_a_panel_and_one_with_a_single_bar_has_none(floor_rows):
    other = [replace(row, gpu="h100") for row in floor_rows]
    alone = replace(next(row for row in floor_rows if row.valid), gpu="l4")
    drawn = steps.draw([*floor_rows, *other, alone])
    assert [axes.get_title(loc="left")[:4] for axes in drawn.figure.axes] == ["h100", "h200"]
    assert all(drawings.points(axes) >= 2 for axes in drawn.figure.axes)
    assert steps.draw([alone]) is None
