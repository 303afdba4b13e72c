"""What is drawn is what stands in the rows; what is left out is told; nothing to show is no figure."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from analysis import ab, paper, registry
from analysis.figures import bandwidth, budget, context, graphs, latency, quant, style
from analysis.sources.records import Folder
from analysis.tables import budget as budget_table
from analysis.tables import floor
from analysis.tables import graphs as graphs_table
from analysis.tables import quant as quant_table
from analysis.tables._clocks import TERMS
from analysis.tables._quantpaper import paper_rows
from tests.support.frames import frame_of
from tests.support.records import cpu_record, example_record, failed_record, fp16_gate, packed_record

RECORDS = Path(__file__).parents[3] / "experiments" / "records" / "h200"
# 0.3–1 s on an idle core; ten seconds is what a figure that grows with the square of its cells would pass
SLOWEST_CPU_S = 10.0


@pytest.fixture(scope="module")
def source():
    return Folder(RECORDS)


@pytest.fixture(scope="module")
def frame(source):
    return source.frame(registry.metrics())


@pytest.fixture(scope="module")
def floor_rows(frame):
    return floor.rows(frame)


@pytest.fixture(scope="module")
def measured(frame):
    return ab.from_frame(frame)[0]


def points(axes, colours):
    """What stands in markers of these colours on the axes."""
    lines = [line for line in axes.lines if line.get_color() in colours and line.get_marker() not in ("None", "_")]
    return sorted((x, y) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True))


def fp16_baseline(step_ms=36.0):
    gate = fp16_gate()
    return example_record(step_ms=step_ms, cell={"dtype": "fp16"}, gate=gate)


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


def test_a_cpu_has_no_place_among_bandwidths():
    assert bandwidth.draw(floor.rows(frame_of([cpu_record()]))) is None
    (axes,) = context.draw(floor.rows(frame_of([cpu_record()]))).figure.axes
    assert axes.get_ylabel() == "r_floor_achievable"


def test_the_fractions_over_bandwidth_are_the_rows_and_the_papers(floor_rows):
    left, right = bandwidth.draw(floor_rows).figure.axes
    valid = [row for row in floor_rows if row.valid]
    for axes, ratio in ((left, "r_floor_paper"), (right, "r_floor")):
        found = points(axes, style.SERIES)
        assert sorted(y for _, y in found) == sorted(row.value(ratio) for row in valid)
        assert all(x == pytest.approx(4800, rel=0.1) for x, _ in found)
    assert points(left, [style.PAPER]) == sorted((row.bandwidth_gbs, row.r_floor_paper) for row in paper.floor_rows())
    assert points(right, [style.PAPER]) == []
    bars = sorted(tuple(line.get_ydata()) for line in left.lines if len(line.get_xdata()) == 2 and line.get_color())
    ranges = sorted((row.low, row.high) for row in paper.range_rows())
    assert [bar for bar in bars if bar in ranges] == ranges


def test_gpus_of_nearly_one_bandwidth_share_a_tick():
    # log10(320 / 300) = 0.028 is below 0.07, log10(864 / 300) = 0.459 is not
    assert bandwidth.ticks({"l40s": 864.0, "t4": 320.0, "l4": 300.0}) == [
        (300.0, "l4\nt4\n300/320"),
        (864.0, "l40s\n864"),
    ]


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


def test_no_panel_of_a_shared_axis_cuts_what_another_did_not_reach(floor_rows):
    slow = [row for row in floor_rows if row.runtime == "eager" and row.model == "llama-3.1-8b"]
    fast = [row for row in floor_rows if row.runtime == "graph" and row.model == "qwen2.5-7b"]
    drawn = context.draw([*slow, *fast])
    ((bottom, top),) = {axes.get_ylim() for axes in drawn.figure.axes}
    assert bottom == 0
    assert top > max(context.interval_of(row)[1] for row in fast)


def test_an_ab_has_its_ratio_interval_and_sessions(measured):
    table = graphs_table.rows(measured)
    drawn = graphs.draw(measured, table, paper.graphs_rows())
    above, *below = drawn.figure.axes
    ratios = sorted(float(bars.lines[0].get_xdata()[0]) for bars in above.containers)
    assert ratios == sorted(row.ratio for row in [*table, *paper.graphs_rows()])
    ends = {
        (round(float(segment[0][0]), 6), round(float(segment[1][0]), 6))
        for bars in above.containers
        for lines in bars.lines[2]
        for segment in lines.get_segments()
    }
    assert {(round(row.ratio_low, 6), round(row.ratio_high, 6)) for row in table} <= ends
    row = max(table, key=lambda each: each.sessions)
    steps = sorted(float(y) for line in below[0].lines if line.get_marker() in ("^", "s") for y in line.get_ydata())
    (one,) = [each for each in measured if each.manifest.id == row.ab]
    assert steps == sorted(session.step_wall_ms for session in one.sessions.values())


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


def test_of_one_model_there_is_no_legend_and_a_baseline_of_another_runtime_is_named():
    engine = packed_record(runtime="exllamav2", step_ms=9.0)
    table = quant_table.rows(frame_of([packed_record(), engine, fp16_baseline()]))
    (axes,) = quant.draw(table).figure.axes
    assert axes.get_legend() is None  # one model
    names = [text.get_text() for text in axes.texts]
    assert sum(name.endswith("gptq exllamav2, exllamav2, sdpa:flash, against eager fp16") for name in names) == 1
    assert sum(", against" in name for name in names) == 1


def test_the_range_of_a_saving_is_drawn_and_a_single_pair_has_none():
    table = quant_table.rows(frame_of([packed_record(step_ms=18.0), packed_record(step_ms=20.0), fp16_baseline()]))
    (axes,) = quant.draw(table).figure.axes
    (bar,) = [line for line in axes.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]
    (row,) = [row for row in table if row.quant == "gptq" and row.source == "measured"]
    assert sorted(bar.get_ydata()) == [row.realised_low, row.realised_high]
    (axes,) = quant.draw(quant_table.rows(frame_of([packed_record(), fp16_baseline()]))).figure.axes
    assert not [line for line in axes.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]


def test_each_model_has_its_marker_in_the_legend():
    engine = packed_record(runtime="exllamav2", step_ms=9.0)
    table = quant_table.rows(frame_of([packed_record(), engine, fp16_baseline()]))
    measured_rows = [row for row in table if row.source == "measured"]
    (axes,) = quant.draw([*table, *(replace(row, model="another") for row in measured_rows)]).figure.axes
    handles = axes.get_legend().legend_handles
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["another", "qwen2.5-7b"]
    points = {line.get_marker() for line in axes.lines if line.get_color() == style.OURS}
    assert {handle.get_marker() for handle in handles} == points


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


def test_a_gpu_that_is_ten_times_slower_has_its_own_scale():
    table = budget_table.rows(frame_of([cpu_record(), example_record()]))
    slow, fast = budget.draw(table).figure.axes
    assert slow.get_xlim()[1] > 400 > 46 > fast.get_xlim()[1] > 36


def test_the_distribution_is_of_all_timed_steps(source, frame, floor_rows):
    # of four steps each is a quarter
    assert latency.ecdf([4.0, 1.0, 3.0, 2.0]) == ([1.0, 2.0, 3.0, 4.0], [0.25, 0.5, 0.75, 1.0])
    cells, total = latency.read(source, frame, floor_rows)
    assert total == len([row for row in floor_rows if row.valid])
    assert len(cells) == latency.CELLS
    (graph,) = [cell for cell in cells if cell.name.startswith("h200 qwen2.5-7b 2048 graph")]
    assert (graph.sessions, len(graph.steps_ms)) == (20, 20)
    assert all(len(steps) == 30 for steps in graph.steps_ms)
    (axes,) = latency.draw(cells, total).figure.axes
    (line,) = [line for line in axes.lines if str(line.get_label()).startswith(graph.name)]
    assert list(line.get_xdata()) == sorted(step for steps in graph.steps_ms for step in steps)
    assert list(line.get_ydata())[-1] == 1.0


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


def test_a_name_with_markup_is_drawn_as_it_is(floor_rows):
    odd = [replace(row, model="$\\frac{1}{<b>}$ " + "x" * 200) for row in floor_rows]
    drawn = context.draw(odd)
    assert style.png(drawn).startswith(b"\x89PNG")
    assert all(len(axes.get_title(loc="left")) <= style.LONGEST_NAME for axes in drawn.figure.axes)


def test_a_choice_of_many_goes_from_first_to_last():
    assert style.spread(list(range(10)), 4) == [0, 3, 6, 9]
    assert style.spread([1, 2], 4) == [1, 2]
    assert style.spread([], 4) == []
