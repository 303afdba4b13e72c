"""All figures together: the same bytes each time, none without rows, and quick with a thousand cells."""

import time
from dataclasses import replace

import pytest

from analysis import paper
from analysis.figures import bandwidth, budget, context, graphs, latency, quant, style
from analysis.tables import budget as budget_table
from analysis.tables import floor
from analysis.tables import graphs as graphs_table
from analysis.tables import quant as quant_table
from analysis.tables._quantpaper import paper_rows
from tests.support.frames import frame_of
from tests.support.quants import fp16_baseline
from tests.support.records import failed_record, packed_record

# 0.3–1 s on an idle core; ten seconds is what a figure that grows with the square of its cells would pass
SLOWEST_CPU_S = 10.0


def many(rows, count):
    """The rows again and again under other models' names."""
    return [replace(rows[number % len(rows)], model=f"model-{number // len(rows):04d}") for number in range(count)]


@pytest.mark.slow
def test_each_figure_of_the_committed_records_is_a_png_and_the_same_each_time(source, frame, floor_rows, measured):
    def draw():
        return [
            bandwidth.draw(floor_rows),
            context.draw(floor_rows),
            graphs.draw(measured, graphs_table.rows(measured), paper.graphs_rows()),
            budget.draw(budget_table.rows(frame)),
            latency.draw(*latency.read(source, frame, floor_rows)),
        ]

    first, second = ([style.png(drawn) for drawn in draw()] for _ in range(2))
    assert all(each.startswith(b"\x89PNG") for each in first)
    assert first == second


def test_nothing_to_show_is_no_figure():
    unmeasured = floor.rows(frame_of([failed_record("oom")]))
    for table in ([], unmeasured):
        assert bandwidth.draw(table) is None
        assert context.draw(table) is None
    assert budget.draw(budget_table.rows(frame_of([failed_record("oom")]))) is None
    assert graphs.draw([], [], paper.graphs_rows()) is None
    assert quant.draw(paper_rows()) is None
    assert latency.draw([], 0) is None
    assert latency.draw([latency.Steps("cell", 1, ((),))], 1) is None


@pytest.mark.slow
def test_with_a_thousand_cells_each_figure_says_what_it_left_out_and_is_quick(frame, floor_rows, measured):
    floors, budgets = many(floor_rows, 1000), many(budget_table.rows(frame), 1000)
    packed = quant_table.rows(frame_of([packed_record(), fp16_baseline()]))
    quants = many([row for row in packed if row.source == "measured"], 1000)
    comparisons = [row for row in graphs_table.rows(measured) for _ in range(50)]
    for draw, said in (
        (lambda: bandwidth.draw(floors), "one of 1000 valid"),
        (lambda: context.draw(floors), "Drawn: 9 of "),
        (lambda: budget.draw(budgets), "Drawn: 40 of 1000 cells"),
        (lambda: quant.draw(quants), "Labels: 28 of 500 points"),
        (lambda: graphs.draw(measured, comparisons, paper.graphs_rows()), "Drawn: 30 of 100 A/Bs"),
    ):
        began = time.process_time()
        drawn = draw()
        picture = style.png(drawn)
        assert said in drawn.caption
        assert len(picture) < 600_000
        assert max(drawn.figure.get_size_inches()) < 16
        assert time.process_time() - began < SLOWEST_CPU_S
