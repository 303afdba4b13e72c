"""All figures together: legible with few and many cells, the same each time, and in docs/figures as they are drawn."""

import re
import shlex
import time
from dataclasses import replace
from pathlib import Path

import pytest

from analysis import paper, protocoltitles, registry
from analysis.figures import bandwidth, budget, context, graphs, latency, quant, steps
from analysis.figures.svg import svg
from analysis.reading import Reading
from analysis.sources.selection import Selection
from analysis.tables import budget as budget_table
from analysis.tables import floor
from analysis.tables import graphs as graphs_table
from analysis.tables import quant as quant_table
from analysis.tables._quantpaper import paper_rows
from runner.cell import catalogue
from tests.support import drawings
from tests.support.commands import command
from tests.support.frames import frame_of
from tests.support.quants import fp16_baseline
from tests.support.records import cpu_record, example_record, failed_record, packed_record
from tests.support.reports import COMMITTED, every_kind, write_records

ROOT = Path(__file__).parents[3]
COMMITTED_FIGURES = ROOT / "docs" / "figures"
# 0.3–1 s on an idle core; ten seconds is what a figure that grows with the square of its cells would pass
SLOWEST_CPU_S = 10.0
LARGEST_BYTES = 600_000
LONGEST_INCHES = 20


def many(rows, count):
    """The rows again and again under other models' names."""
    return [replace(rows[number % len(rows)], model=f"model-{number // len(rows):04d}") for number in range(count)]


def on_every_gpu(rows):
    return [replace(row, gpu=gpu) for row in rows for gpu in catalogue.gpus()]


def of_long_names(rows):
    model = "someone/$\\frac{1}{2}$ A-Very-Long-Model-Name-Instruct-AWQ-128g-"
    return [replace(row, model=f"{model}{row.model}") for row in rows]


def reading_of(folder):
    selection = Selection.from_options(None, folder, None, None, None)
    return Reading(selection.frame(registry.metrics()), selection.source)


def drawn(reading, change=list):
    """Returns the figures of a reading whose rows are changed before."""
    frame, compared = reading.frame, reading.compared
    floors = change(floor.rows(frame))
    found = (
        steps.draw(floors),
        bandwidth.draw(floors),
        context.draw(floors),
        graphs.draw(compared, change(graphs_table.rows(compared)), paper.graphs_rows()),
        quant.draw(change(quant_table.rows(frame))),
        budget.draw(change(budget_table.rows(frame))),
        latency.draw(*latency.read(reading.source, frame, floor.rows(frame))),
    )
    return [figure for figure in found if figure is not None]


@pytest.fixture(scope="module")
def committed():
    return reading_of(COMMITTED)


def check_legible(figure):
    assert drawings.faults(figure.figure) == [], figure.name
    assert drawings.arrows(figure.figure) == [], figure.name
    assert all(drawings.points(axes) >= 2 for axes in figure.figure.axes), figure.name


@pytest.mark.slow
@pytest.mark.parametrize("change", [list, on_every_gpu, of_long_names])
def test_no_text_overlaps_or_is_cut_off_and_no_panel_has_a_single_point(committed, change):
    figures = drawn(committed, change)
    assert len(figures) == 7
    for figure in figures:
        check_legible(figure)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("records", "names"),
    [
        ([example_record()], ["floor-bandwidth", "budget", "latency"]),
        ([cpu_record()], ["budget", "latency"]),
        ([*every_kind()], ["floor-bandwidth", "quant", "budget", "latency"]),
    ],
    ids=["one", "cpu", "kinds"],
)
def test_a_small_store_has_the_figures_that_have_something_to_compare(tmp_path, records, names):
    figures = drawn(reading_of(write_records(tmp_path / "records", records)))
    assert [figure.name for figure in figures] == names
    for figure in figures:
        check_legible(figure)


@pytest.mark.slow
def test_each_figure_is_the_same_each_time():
    first, second = ([svg(figure) for figure in drawn(reading_of(COMMITTED / "h200"))] for _ in range(2))
    assert len(first) == 7
    assert first == second


def test_nothing_to_show_is_no_figure():
    unmeasured = floor.rows(frame_of([failed_record("oom")]))
    for table in ([], unmeasured):
        assert steps.draw(table) is None
        assert bandwidth.draw(table) is None
        assert context.draw(table) is None
    assert budget.draw(budget_table.rows(frame_of([failed_record("oom")]))) is None
    assert graphs.draw([], [], paper.graphs_rows()) is None
    assert quant.draw(paper_rows()) is None
    assert latency.draw([], 0) is None
    assert latency.draw([latency.Steps("cell", 1, ((),))], 1) is None


@pytest.mark.slow
def test_with_a_thousand_cells_each_figure_says_what_it_left_out_and_is_quick(frame, floor_rows, measured):
    unquantised = [row for row in protocoltitles.comparable(floor_rows) if row.quant == "bf16"]
    floors, budgets = many(unquantised, 1000), many(budget_table.rows(frame), 1000)
    alone = [replace(row, model="one") for row in floors]
    packed = quant_table.rows(frame_of([packed_record(), fp16_baseline()]))
    quants = many([row for row in packed if row.source == "measured"], 1000)
    comparisons = [row for row in graphs_table.rows(measured)[:2] for _ in range(50)]
    for draw, said in (
        (lambda: steps.draw(alone), "Drawn: 18 of "),
        (lambda: bandwidth.draw(floors), "1000 valid unquantised cells"),
        (lambda: context.draw(floors), "Drawn: 9 of "),
        (lambda: budget.draw(budgets), " of 1000 cells"),
        (lambda: quant.draw(quants), "Drawn: 36 of 500 cells"),
        (lambda: graphs.draw(measured, comparisons, paper.graphs_rows()), "Drawn: 30 of 100 A/Bs"),
    ):
        began = time.process_time()
        figure = draw()
        check_legible(figure)
        content = svg(figure)
        assert time.process_time() - began < SLOWEST_CPU_S
        assert said in figure.caption
        assert len(content) < LARGEST_BYTES
        assert max(figure.figure.get_size_inches()) < LONGEST_INCHES


def recipe(target):
    """Returns the command lines of a Makefile's target."""
    text = (ROOT / "Makefile").read_text()
    block = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    return [line.strip() for line in block[1].splitlines()]


@pytest.mark.slow
def test_the_figures_in_docs_are_those_that_make_figures_draws(tmp_path):
    """Shapes may be a few points elsewhere with another version of matplotlib; texts and their order may not differ."""
    for line in recipe("figures"):
        _, program, arguments = line.replace("$(ARGS)", "").partition("python -m analysis ")
        if program:
            words = shlex.split(arguments.partition(">")[0].replace("docs/figures", str(tmp_path)))
            assert command(*words).returncode == 0
    of_pages = {"fused.svg", "steps.svg"}  # programs in tests.pages draw them
    of_tables = {path.name for path in COMMITTED_FIGURES.glob("*.svg")} - of_pages
    assert {path.name for path in tmp_path.iterdir()} == of_tables
    for path in tmp_path.iterdir():
        elements, numbers = drawings.content(path.read_bytes())
        committed_elements, committed_numbers = drawings.content((COMMITTED_FIGURES / path.name).read_bytes())
        assert elements == committed_elements, f"{path.name}: run make figures"
        assert numbers == pytest.approx(committed_numbers, abs=3), f"{path.name}: run make figures"


@pytest.mark.medium
@pytest.mark.parametrize("figure", [bandwidth, context, steps], ids=lambda figure: figure.__name__.rpartition(".")[2])
def test_no_figure_of_medians_shows_the_tail_of_a_cell_beside_it(figure, floor_rows):
    usual = [row for row in floor_rows if row.protocol == protocoltitles.USUAL and row.step_wall_ms]
    more = [*(replace(row, protocol="tail-long-5-10x300", step_wall_ms=1.0) for row in usual), *usual]
    assert svg(figure.draw(more)) == svg(figure.draw(usual))
