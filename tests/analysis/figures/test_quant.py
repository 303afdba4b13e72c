"""The savings of quantised weights, time over bytes."""

from dataclasses import replace

import pytest

from analysis.figures import quant, style
from analysis.tables import quant as quant_table
from tests.support.frames import frame_of
from tests.support.quants import fp16_baseline
from tests.support.records import packed_record


@pytest.mark.medium
def test_a_quantised_row_has_a_point_and_a_name_that_tells_its_packing():
    table = quant_table.rows(frame_of([packed_record(), fp16_baseline()]))
    own = next(row for row in table if row.quant == "gptq" and row.source == "measured")
    table.append(replace(own, realised=3.0, scheme="group_size:64,sym:true", weights_id="somebody/checkpoint"))
    (axes,) = quant.draw(table).figure.axes
    names = [text.get_text() for text in axes.texts]
    assert sum("gptq exllamav2, eager" in name for name in names) == 2
    assert sum("group_size:64" in name and "somebody/checkpoint" in name for name in names) == 1
    assert sum("the paper's" in name for name in names) == 3
    found = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert sorted((line.get_xdata()[0], line.get_ydata()[0]) for line in found) == sorted(
        (row.ideal, row.realised) for row in table if row.quant != "bf16" and row.realised
    )


@pytest.mark.medium
def test_of_one_model_there_is_no_legend_and_a_baseline_of_another_runtime_is_named():
    engine = packed_record(runtime="exllamav2", step_ms=9.0)
    table = quant_table.rows(frame_of([packed_record(), engine, fp16_baseline()]))
    (axes,) = quant.draw(table).figure.axes
    assert axes.get_legend() is None  # one model
    names = [text.get_text() for text in axes.texts]
    assert sum(name.endswith("gptq exllamav2, exllamav2, sdpa:flash, against eager fp16") for name in names) == 1
    assert sum(", against" in name for name in names) == 1


@pytest.mark.medium
def test_the_range_of_a_saving_is_drawn_and_a_single_pair_has_none():
    table = quant_table.rows(frame_of([packed_record(step_ms=18.0), packed_record(step_ms=20.0), fp16_baseline()]))
    (axes,) = quant.draw(table).figure.axes
    (bar,) = [line for line in axes.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]
    (row,) = [row for row in table if row.quant == "gptq" and row.source == "measured"]
    assert sorted(bar.get_ydata()) == [row.realised_low, row.realised_high]
    (axes,) = quant.draw(quant_table.rows(frame_of([packed_record(), fp16_baseline()]))).figure.axes
    assert not [line for line in axes.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]


@pytest.mark.medium
def test_each_model_has_its_marker_in_the_legend():
    engine = packed_record(runtime="exllamav2", step_ms=9.0)
    table = quant_table.rows(frame_of([packed_record(), engine, fp16_baseline()]))
    measured_rows = [row for row in table if row.source == "measured"]
    (axes,) = quant.draw([*table, *(replace(row, model="another") for row in measured_rows)]).figure.axes
    handles = axes.get_legend().legend_handles
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["another", "qwen2.5-7b"]
    points = {line.get_marker() for line in axes.lines if line.get_color() == style.OURS}
    assert {handle.get_marker() for handle in handles} == points
