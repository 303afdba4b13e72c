"""The step over ctx: a panel per model, lines with intervals, and common axes."""

from dataclasses import replace

import pytest

from analysis.figures import context


def panel_of(drawn, model):
    return next(axes for axes in drawn.figure.axes if axes.get_title(loc="left") == model)


@pytest.mark.medium
def test_a_line_has_the_rows_of_its_model_with_their_intervals(floor_rows):
    drawn = context.draw(floor_rows)
    panel = panel_of(drawn, "qwen2.5-7b")
    rows = [row for row in floor_rows if row.model == "qwen2.5-7b" and row.cache == "dynamic" and not row.options]
    rows.sort(key=lambda row: row.ctx)
    (line,) = [bars for bars in panel.containers if bars.get_label() == "h200, bf16, eager dynamic"]
    assert list(line.lines[0].get_xdata()) == [2048, 4096, 8192, 16384]
    assert list(line.lines[0].get_ydata()) == [row.step_wall_ms for row in rows]
    ends = [(segment[0][1], segment[1][1]) for segment in line.lines[2][0].get_segments()]
    assert [end for pair in ends for end in pair] == pytest.approx(
        [end for row in rows for end in (row.step_wall_ms_low, row.step_wall_ms_high)]
    )


@pytest.mark.medium
def test_all_panels_have_one_logarithmic_axis_that_cuts_nothing(floor_rows):
    drawn = context.draw(floor_rows)
    assert {axes.get_yscale() for axes in drawn.figure.axes} == {"log"}
    ((bottom, top),) = {axes.get_ylim() for axes in drawn.figure.axes}
    visible = [row for lines in context.lines_of(floor_rows).values() for points in lines.values() for row in points]
    assert bottom < min(row.step_wall_ms_low for row in visible)
    assert top > max(row.step_wall_ms_high for row in visible)


@pytest.mark.medium
def test_a_cell_at_one_ctx_has_no_line_and_a_model_of_such_cells_no_panel(floor_rows):
    alone = next(row for row in floor_rows if row.runtime == "graph" and row.ctx == 2048)
    drawn = context.draw([*floor_rows, replace(alone, model="another")])
    assert all(len(bars.lines[0].get_xdata()) > 1 for axes in drawn.figure.axes for bars in axes.containers)
    assert "another" not in {axes.get_title(loc="left") for axes in drawn.figure.axes}
    assert "1 model has no panel, because only one ctx was measured." in drawn.caption
    assert context.draw([alone]) is None


@pytest.mark.medium
def test_a_line_looks_the_same_in_every_panel(floor_rows):
    drawn = context.draw(floor_rows)
    looks = {}
    for axes in drawn.figure.axes:
        for bars in axes.containers:
            looks.setdefault(bars.get_label(), set()).add((bars.lines[0].get_color(), bars.lines[0].get_marker()))
    assert len(looks) == 4
    assert all(len(found) == 1 for found in looks.values())
