"""A cell that was measured with several protocols appears in a figure once."""

from dataclasses import replace

import pytest

from analysis.figures import bandwidth, context, protocols, steps, svg

TAIL = "tail-long-5-10x300"


def of_tail(row):
    return replace(row, protocol=TAIL, step_wall_ms=0.9 * row.step_wall_ms)


def test_the_default_protocol_stands_for_its_cell(floor_rows):
    row, other = floor_rows[0], replace(floor_rows[0], cell_key="another")
    assert protocols.comparable([of_tail(row), row]) == [row]
    assert protocols.comparable([of_tail(row), other]) == [of_tail(row), other]
    assert protocols.comparable([]) == []


@pytest.mark.medium
@pytest.mark.parametrize("figure", [bandwidth, context, steps], ids=lambda figure: figure.__name__.rpartition(".")[2])
def test_no_figure_of_medians_shows_the_tail_of_a_cell_beside_it(figure, floor_rows):
    usual = [row for row in floor_rows if row.protocol == protocols.USUAL and row.step_wall_ms]
    more = [*map(of_tail, usual), *usual]
    assert svg.svg(figure.draw(more)) == svg.svg(figure.draw(usual))
