"""The gap budget as bars, one after the other."""

import pytest

from analysis.figures import budget
from analysis.tables import budget as budget_table
from analysis.tables._clocks import TERMS
from tests.support.frames import frame_of
from tests.support.records import cpu_record, example_record


@pytest.mark.medium
def test_the_bars_of_a_step_stand_one_after_the_other_and_end_at_it(frame):
    assert budget.starts([3.0, 2.0, 4.0]) == [0.0, 3.0, 5.0]
    table = [row for row in budget_table.rows(frame) if row.valid]
    (axes,) = budget.draw(table).figure.axes
    for place, row in enumerate(table):
        bars = [bar for bar in axes.patches if round(bar.get_y() + bar.get_height() / 2) == place]
        assert [bar.get_width() for bar in bars] == pytest.approx([term.ms for term in row.terms])
        assert min(bar.get_x() for bar in bars) == 0
        assert max(bar.get_x() + bar.get_width() for bar in bars) == pytest.approx(row.step_wall_ms)
    assert axes.get_xlim()[0] == 0
    assert axes.get_xlim()[1] > max(row.step_wall_ms for row in table)
    assert len({(bar.get_facecolor(), bar.get_hatch()) for bar in axes.patches}) == len(
        {term.name for row in table for term in row.terms}
    )


@pytest.mark.medium
def test_beside_a_bar_stands_the_step_with_how_far_its_passes_lie_apart(frame):
    table = [row for row in budget_table.rows(frame) if row.valid]
    (axes,) = budget.draw(table).figure.axes
    beside = [text.get_text() for text in axes.texts]
    assert beside == [f"{row.step_wall_ms:.2f} ({row.uncertainty:.0%} apart)" for row in table]
    (cpu,) = budget_table.rows(frame_of([cpu_record()]))
    assert budget.bar_text(cpu) == f"{cpu.step_wall_ms:.2f}"


def test_every_term_has_a_look_of_its_own():
    assert set(budget.LOOKS) == set(TERMS)
    hatches = [hatch for _, hatch in budget.LOOKS.values()]
    assert len(set(hatches)) == len(hatches)


@pytest.mark.medium
def test_a_gpu_that_is_ten_times_slower_has_its_own_scale():
    table = budget_table.rows(frame_of([cpu_record(), example_record()]))
    slow, fast = budget.draw(table).figure.axes
    assert slow.get_xlim()[1] > 400 > 46 > fast.get_xlim()[1] > 36
