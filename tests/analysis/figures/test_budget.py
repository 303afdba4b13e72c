"""Where the time goes: terms as shares of the step, one after the other."""

import pytest

from analysis.figures import budget
from analysis.tables import budget as budget_table
from analysis.tables._clocks import TERMS
from tests.support.frames import frame_of
from tests.support.records import cpu_record


def bars_by_place(axes):
    """Returns the bars of each cell, from top to bottom."""
    places = {}
    for bar in axes.patches:
        places.setdefault(bar.get_y(), []).append(bar)
    return [places[place] for place in sorted(places)]


@pytest.mark.medium
def test_the_terms_of_a_step_stand_one_after_the_other_and_never_pass_it(frame):
    assert budget.starts([3.0, 2.0, 4.0]) == [0.0, 3.0, 5.0]
    table = [row for row in budget_table.rows(frame) if row.valid]
    (axes,) = budget.draw(table).figure.axes
    cells = bars_by_place(axes)
    assert len(cells) == len(table)
    for row, bars in zip(table, cells, strict=True):
        # a term of 2 ms in a step of 8 ms: 25 %
        assert [bar.get_width() for bar in bars] == pytest.approx(
            [100 * term.ms / row.step_wall_ms for term in row.terms]
        )
        assert min(bar.get_x() for bar in bars) == 0
        assert max(bar.get_x() + bar.get_width() for bar in bars) == pytest.approx(100)
        assert all(bar.get_width() >= 0 for bar in bars)
    assert axes.get_xlim() == (0, 100)
    assert len({(bar.get_facecolor(), bar.get_hatch()) for bar in axes.patches}) == len(
        {term.name for row in table for term in row.terms}
    )


@pytest.mark.medium
def test_beside_a_bar_stands_the_step_with_how_far_its_passes_lie_apart(frame):
    table = [row for row in budget_table.rows(frame) if row.valid]
    (axes,) = budget.draw(table).figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert [text for text in texts if " ms" in text] == [
        f"{row.step_wall_ms:.2f} ms ({100 * row.uncertainty:.0f} %)" for row in table
    ]
    (cpu,) = budget_table.rows(frame_of([cpu_record()]))
    assert budget.bar_text(cpu) == f"{cpu.step_wall_ms:.2f} ms"


@pytest.mark.medium
def test_cells_of_one_gpu_and_model_have_a_heading(frame):
    table = [row for row in budget_table.rows(frame) if row.valid]
    (axes,) = budget.draw(table).figure.axes
    headings = [text.get_text() for text in axes.texts if text.get_fontweight() == "bold"]
    assert headings == ["h200, llama-3.1-8b", "h200, mistral-7b", "h200, qwen2.5-0.5b", "h200, qwen2.5-7b"]


def test_every_term_has_a_look_of_its_own():
    assert set(budget.LOOKS) == set(TERMS)
    hatches = [hatch for _, hatch in budget.LOOKS.values()]
    assert len(set(hatches)) == len(hatches)
