"""The first figure of the front page: its bars, and the committed picture."""

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.figures.svg import svg
from analysis.tables import floor
from tests.pages import firstfigure, headline
from tests.support import drawings
from tests.support.frames import frame_of
from tests.support.records import example_record, packed_record

COMMITTED = Path(__file__).parents[2] / "docs" / "figures" / "steps.svg"
TALLEST_INCHES = 5.0


def rows_of(*records):
    """The rows of these records, as if each were one of several sessions."""
    return [replace(row, sessions=3) for row in floor.rows(frame_of(records))]


def record(runtime, step_ms, cache="static", **cell):
    return example_record(cell={"runtime": runtime, "cache": cache, **cell}, step_ms=step_ms)


def bars(rows):
    return [[(row.runtime, row.quant, row.dtype) for row in panel] for panel in firstfigure.bars(rows)]


@pytest.fixture(scope="module")
def committed():
    return headline.committed()


def test_a_panel_has_plain_pytorch_each_other_runtime_and_each_4_bit_format_the_slowest_first():
    eager, flash = record("eager", 20), record("eager", 15, "dynamic")
    slow, fast = record("graph", 8), record("graph", 7, dtype="fp16")
    rows = rows_of(fast, packed_record(step_ms=5), slow, flash, record("compile", 6), eager)
    plain, *others = [("eager", "bf16", "bf16"), ("graph", "bf16", "fp16"), ("compile", "bf16", "bf16")]
    assert bars(rows) == [[plain, *others, ("eager", "gptq", "fp16")]]


def test_only_plain_pytorch_is_shown_although_its_passes_disagree():
    rows = rows_of(record("eager", 20), record("graph", 8), record("compile", 6))
    unsteady = [replace(row, flags=["passes-disagree"]) for row in rows]
    assert bars(unsteady) == [[("eager", "bf16", "bf16")]]


@pytest.mark.slow
def test_the_bars_of_the_committed_records_have_each_row_of_the_table(committed):
    panels = firstfigure.bars(committed)
    assert [panel[0].gpu for panel in panels] == ["h100", "h200"]
    of_panels = [row for panel in panels for row in panel]
    assert [row for row in headline.chosen(committed) if row not in of_panels] == []
    assert [panel[0].runtime for panel in panels] == ["eager", "eager"]
    runtimes = [row.runtime for row in panels[1] if row.quant == "bf16"]
    assert runtimes == ["eager", "graph", "compile", "fused"]


@pytest.mark.slow
def test_the_figure_is_legible_with_the_same_axis_for_each_gpu(committed):
    figure = firstfigure.draw(committed).figure
    assert drawings.faults(figure) == []
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        f"{gpu}, {headline.MODEL}, ctx {headline.CTX}" for gpu in ("h100", "h200")
    ]
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    assert figure.get_figheight() < TALLEST_INCHES


@pytest.mark.slow
def test_the_committed_picture_is_that_of_the_records_and_has_the_fused_step(committed):
    """Shapes may be a few points elsewhere with another version of matplotlib; texts and their order may not differ."""
    elements, numbers = drawings.content(COMMITTED.read_bytes())
    drawn_elements, drawn_numbers = drawings.content(svg(firstfigure.draw(committed)))
    assert elements == drawn_elements, "run make figures"
    assert numbers == pytest.approx(drawn_numbers, abs=3), "run make figures"
    (fused,) = [row for panel in firstfigure.bars(committed) for row in panel if row.runtime == "fused"]
    assert f"{fused.step_wall_ms:.2f} ms, {100 * fused.r_floor:.0f} %" in [text for _, text in elements]
