"""The savings of quantised weights: a line from the ideal to the realised one."""

from dataclasses import replace

import pytest

from analysis.figures import quant, style
from analysis.tables import quant as quant_table
from tests.support.frames import frame_of
from tests.support.quants import fp16_baseline
from tests.support.records import packed_record


def drawn_points(axes, is_hollow):
    lines = [line for line in axes.lines if len(line.get_xdata()) == 1]
    return [
        (line.get_ydata()[0], line.get_xdata()[0])
        for line in lines
        if (line.get_markerfacecolor() == "white") == is_hollow
    ]


def names_of(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


@pytest.mark.medium
def test_a_row_has_its_ideal_and_its_realised_saving_and_the_largest_is_on_top():
    table = quant_table.rows(frame_of([packed_record(), fp16_baseline()]))
    (axes,) = quant.draw(table).figure.axes
    rows = sorted((row for row in table if row.quant != "bf16" and row.realised), key=lambda row: -row.realised)
    assert sorted(drawn_points(axes, True)) == [(place, row.ideal) for place, row in enumerate(rows)]
    assert sorted(drawn_points(axes, False)) == [(place, row.realised) for place, row in enumerate(rows)]
    assert [text.get_text() for text in axes.texts] == [f"{row.realised:.2f}×" for row in rows]
    bottom, top = axes.get_ylim()
    assert bottom > top  # the first row is on top
    assert axes.get_xlim()[0] < 1 < axes.get_xlim()[1]


@pytest.mark.medium
def test_a_name_tells_packing_checkpoint_and_the_baseline_of_another_runtime():
    engine = packed_record(runtime="exllamav2", step_ms=9.0)
    table = quant_table.rows(frame_of([packed_record(), engine, fp16_baseline()]))
    own = next(row for row in table if row.quant == "gptq" and row.source == "measured" and row.runtime == "eager")
    table.append(replace(own, realised=3.0, scheme="sym:false"))
    (axes,) = quant.draw(table).figure.axes
    names = names_of(axes)
    assert sum("gptq exllamav2, eager" in name for name in names) == 2
    assert sum("sym:false" in name for name in names) == 1
    assert sum(name.endswith("gptq exllamav2, exllamav2 / eager") for name in names) == 1
    assert sum(" / " in name for name in names) == 1
    assert sum("the paper" in name for name in names) == 3


@pytest.mark.medium
def test_a_cell_that_was_measured_with_two_protocols_is_drawn_once():
    table = quant_table.rows(frame_of([packed_record(), fp16_baseline()]))
    (own,) = [row for row in table if row.quant == "gptq" and row.source == "measured"]
    tail = replace(own, protocol="tail-long-5-10x300", realised=1.5)
    assert names_of(quant.draw([tail, *table]).figure.axes[0]) == names_of(quant.draw(table).figure.axes[0])
    papers = [row for row in table if row.source != "measured"]
    assert (
        sum("gptq" in name for name in names_of(quant.draw([tail, *papers]).figure.axes[0])) == 2
    )  # ours, the paper's


@pytest.mark.medium
def test_the_range_of_a_saving_is_drawn_and_a_single_pair_has_none():
    def ranges(axes):
        return [line for line in axes.lines if line.get_marker() == "|"]

    table = quant_table.rows(frame_of([packed_record(step_ms=18.0), packed_record(step_ms=20.0), fp16_baseline()]))
    (axes,) = quant.draw(table).figure.axes
    (bar,) = ranges(axes)
    (row,) = [row for row in table if row.quant == "gptq" and row.source == "measured"]
    assert list(bar.get_xdata()) == [row.realised_low, row.realised_high]
    (axes,) = quant.draw(quant_table.rows(frame_of([packed_record(), fp16_baseline()]))).figure.axes
    assert not ranges(axes)


@pytest.mark.medium
def test_ours_and_the_papers_differ_in_colour_and_marker():
    table = quant_table.rows(frame_of([packed_record(), fp16_baseline()]))
    figure = quant.draw(table).figure
    (axes,) = figure.axes
    filled = [line for line in axes.lines if len(line.get_xdata()) == 1 and line.get_markerfacecolor() != "white"]
    assert {(line.get_color(), line.get_marker()) for line in filled} == {
        (style.OURS, style.MARKERS[0]),
        (style.PAPER, style.PAPER_MARKER),
    }
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "ideal (bytes)",
        "realised (time)",
        "realised, the paper",
    ]
