"""Our values beside the paper's figures, and the sessions that explain them."""

from dataclasses import replace
from pathlib import Path

import polars
import pytest

from analysis.sources.records import Folder
from analysis.tables import _ours, papercheck
from tests.support.clocks import clocks
from tests.support.papers import checks, whole_gpu, with_flags
from tests.support.records import H100

AB = next((Path(__file__).parents[3] / "experiments" / "records" / "h200").glob("ab-qwen2.5-7b-2048-eager-graph-*"))


def compared(a_ms, b_ms, **of_the_eager_arm):
    """The rows of the CUDA Graphs A/B: the H200's committed one, said to be an H100's, with these steps."""
    frame = Folder(AB).frame(papercheck.NEEDED)
    manifest = frame.manifests[0]
    eager = polars.col("cell_key") == manifest.arms["a"].cell_key
    wall = polars.when(eager).then(polars.lit(a_ms)).otherwise(polars.lit(b_ms)).alias("step_wall_ms")
    changes = [
        polars.when(eager).then(polars.lit(value)).otherwise(polars.col(name)).alias(name)
        for name, value in of_the_eager_arm.items()
    ]
    sessions = frame.sessions.with_columns(wall, *changes)
    cells = {key: {**cell, "gpu": "h100"} for key, cell in frame.cells.items()}
    arms = {name: replace(arm, cell=replace(arm.cell, gpu="h100")) for name, arm in manifest.arms.items()}
    changed_frame = replace(frame, sessions=sessions, cells=cells, manifests=(replace(manifest, arms=arms),))
    found = {row.quantity: row for row in papercheck.rows(changed_frame) if row.gpu == "h100"}
    return [found[name] for name in ("eager ms/step in the A/B", "graph ms/step in the A/B", "eager / graph")]


@pytest.mark.slow
def test_an_arm_is_explained_by_what_its_own_sessions_recorded():
    eager, graph, ratio = compared(22.0, 8.2)
    assert (eager.verdict, graph.verdict, ratio.verdict) == ("differs",) * 3
    assert eager.reason.endswith("of the eager step; the card is idle for the rest")
    assert ratio.reason == eager.reason  # 2.7 instead of 1.26: eager is what is slow
    # the share of an eager step says nothing of a captured one
    assert graph.difference < 0
    assert "eager step" not in graph.reason
    # an eager arm that keeps up makes the ratio smaller
    eager, _, ratio = compared(9.0, 8.2, step_busy_ms=8.0)
    assert ratio.difference < 0
    assert ratio.reason == eager.reason
    assert ratio.reason.endswith("% of the eager step")


@pytest.mark.medium
def test_an_end_of_a_range_is_explained_by_the_cell_that_holds_it():
    records = list(whole_gpu(H100, [10.0, 100.0]))
    records[0] = with_flags(records[0], "throttled")
    low, high, median = (
        checks(records, quantity=f"r_floor_paper, {end} of 12 cells", gpu="h100")[0]
        for end in ("low", "high", "median")
    )
    assert low.reason == "the card was throttled (flag throttled)"
    assert "throttled" not in high.reason + median.reason


def test_of_cells_at_a_place_the_newest_with_a_growing_cache_counts():
    static = clocks(last_start_ms=9)
    older, newer = (clocks(cache="dynamic", last_start_ms=ms) for ms in (1, 2))
    spot = ("h200", "qwen2.5-7b", 2048)
    assert _ours.plain_cell([newer, static, older], spot) is newer
    assert _ours.plain_cell([static], spot) is static
    assert _ours.plain_cell([static], ("h200", "qwen2.5-7b", 4096)) is None


def test_the_interval_of_a_ratio_is_that_of_the_step_turned_round():
    cell = clocks(r_floor_paper=0.2, step_wall_ms=10.0, step_wall_ms_low=8.0, step_wall_ms_high=16.0, interval="ci95")
    # half of 0.2 is 0.1 at 10 ms: 0.1 · 10 / 16 = 0.0625 and 0.1 · 10 / 8 = 0.125
    ours = _ours.ratio(cell, 0.5, {})
    assert (ours.value, ours.low, ours.high, ours.interval, ours.grows) == (0.1, 0.0625, 0.125, "ci95", False)
    assert _ours.ratio(clocks(), 0.5, {}) is _ours.ratio(None, 1.0, {}) is None


def test_a_step_grows_with_itself_and_names_the_torch_of_its_environment():
    cell = clocks(env_key="e" * 12, step_wall_ms_low=20.0, step_wall_ms_high=22.0, interval="range")
    ours = _ours.step(cell, {"e" * 12: {"torch": "2.11.0"}})
    assert (ours.value, ours.low, ours.high, ours.interval, ours.grows) == (21.0, 20.0, 22.0, "range", True)
    assert (ours.cell.torch, ours.cell.step_busy_ms) == ("2.11.0", 8.0)
    assert _ours.step(cell, {}).cell.torch is None
    assert _ours.step(None, {}) is None


def test_the_median_of_an_even_number_of_cells_lies_between_two_and_is_explained_by_the_lower():
    cells = [clocks(r_floor_paper=ratio, runtime=f"r{place}") for place, ratio in enumerate((0.4, 0.1, 0.3, 0.2))]
    ends = _ours.range_ends(cells, {})
    # in order 0.1, 0.2, 0.3, 0.4: (0.2 + 0.3) / 2 = 0.25
    assert {name: ours.value for name, ours in ends.items()} == {"low": 0.1, "high": 0.4, "median": pytest.approx(0.25)}
    assert [ends[name].cell.runtime for name in ("low", "median", "high")] == ["r1", "r3", "r0"]
