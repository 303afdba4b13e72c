"""A cell that was measured with several protocols appears in a figure once."""

from dataclasses import replace

import pytest

from analysis import protocoltitles
from analysis.tables import floor
from tests.support.frames import frame_of
from tests.support.records import example_record

TAIL = "tail-long-5-10x300"


def test_the_default_protocol_stands_for_its_cell():
    (row,) = floor.rows(frame_of([example_record()]))
    tail, other = replace(row, protocol=TAIL), replace(row, cell_key="another")
    assert protocoltitles.comparable([tail, row]) == [row]
    assert protocoltitles.comparable([tail, other]) == [tail, other]
    assert protocoltitles.comparable([]) == []


@pytest.mark.parametrize("title", ["tail-5-300", TAIL, "custom-5-2x300", "tail-long-1-10x40"])
def test_a_tail_has_a_longer_wall_pass(title):
    assert protocoltitles.is_tail(title)
    assert not any(map(protocoltitles.is_tail, (protocoltitles.USUAL, "custom-5-64")))


def test_a_name_stands_for_its_steps_unless_they_are_its_own():
    assert protocoltitles.short(protocoltitles.USUAL) == ""
    assert protocoltitles.short(TAIL) == "tail-long"
    assert protocoltitles.short("custom-5-64") == "custom-5-64"
