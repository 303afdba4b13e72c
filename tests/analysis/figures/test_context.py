"""The achieved fraction over ctx: lines, intervals and axes."""

from dataclasses import replace

import pytest

from analysis.figures import context


@pytest.mark.medium
def test_the_line_over_ctx_has_the_rows_with_the_interval_turned_round(floor_rows):
    drawn = context.draw(floor_rows)
    panel = next(axes for axes in drawn.figure.axes if axes.get_title(loc="left") == "h200 qwen2.5-7b")
    rows = [row for row in floor_rows if row.model == "qwen2.5-7b" and row.cache == "dynamic"]
    rows = [row for row in rows if not row.options]
    (line,) = [bars for bars in panel.containers if bars.get_label() == "eager dynamic"]
    assert list(line.lines[0].get_xdata()) == [2048, 4096, 8192, 16384]
    assert list(line.lines[0].get_ydata()) == [row.r_floor for row in sorted(rows, key=lambda row: row.ctx)]
    # floor 3 ms, steps 50 … 60 … 75 ms: 3 / 75 = 0.04 … 0.05 … 3 / 50 = 0.06
    row = replace(rows[0], r_floor=0.05, step_wall_ms=60.0, step_wall_ms_low=50.0, step_wall_ms_high=75.0)
    assert context.interval_of(row) == pytest.approx((0.04, 0.06))


@pytest.mark.medium
def test_no_panel_of_a_shared_axis_cuts_what_another_did_not_reach(floor_rows):
    slow = [row for row in floor_rows if row.runtime == "eager" and row.model == "llama-3.1-8b"]
    fast = [row for row in floor_rows if row.runtime == "graph" and row.model == "qwen2.5-7b"]
    drawn = context.draw([*slow, *fast])
    ((bottom, top),) = {axes.get_ylim() for axes in drawn.figure.axes}
    assert bottom == 0
    assert top > max(context.interval_of(row)[1] for row in fast)
