"""Frames: their parts by gpu, model and study, and one A/B of several runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars
import pytest

from analysis.sources import frame
from analysis.sources.frame import Frame
from runner.ab import manifest
from runner.ab.manifest import Manifest

ROOT = Path(__file__).parents[3]
AB = next((ROOT / "experiments" / "records" / "h200").glob("ab-qwen2.5-7b-16384-eager-graph-*"))


@pytest.fixture
def compared() -> Manifest:
    return manifest.read(AB / "ab.json")


@pytest.fixture
def whole(compared: Manifest) -> Frame:
    """Three sessions of two cells and two studies, and an A/B."""
    sessions = polars.DataFrame(
        {
            "cell_key": ["a", "b", "b"],
            "study": ["adhoc", "adhoc", compared.study],
            "session": ["1", "2", "3"],
            "run_id": ["r1", "r2", "r3"],
        }
    )
    cells = {"a": {"gpu": "cpu", "model": "tiny"}, "b": {"gpu": "h200", "model": "qwen2.5-7b"}}
    return Frame(sessions, cells, {}, manifests=(compared,))


@pytest.mark.parametrize(
    ("criteria", "sessions", "comparisons"),
    [
        ({"gpu": None, "model": None, "study": None}, ["1", "2", "3"], 1),
        ({"gpu": "h200"}, ["2", "3"], 1),
        ({"gpu": "cpu"}, ["1"], 0),
        ({"model": "qwen2.5-7b", "study": "adhoc"}, ["2"], 0),
        ({"study": "cuda-graphs"}, ["3"], 1),
        ({"gpu": "l4"}, [], 0),
    ],
)
def test_a_part_has_the_sessions_cells_and_abs_that_fit(
    whole: Frame, criteria: dict[str, str | None], sessions: list[str], comparisons: int
) -> None:
    part = whole.where(**criteria)
    assert part.sessions["session"].to_list() == sessions
    assert len(part.manifests) == comparisons
    assert {*part.sessions["cell_key"]} <= part.cells.keys()


def test_an_ab_is_kept_only_where_both_arms_fit(whole: Frame, compared: Manifest) -> None:
    moved = replace(compared.arms["b"], cell=replace(compared.arms["b"].cell, gpu="h100"))
    mixed = replace(compared, arms={**compared.arms, "b": moved})
    assert replace(whole, manifests=(mixed,)).where(gpu="h200").manifests == ()


def test_of_an_ab_in_several_runs_the_longest_manifest_counts_and_of_those_the_first_run(compared: Manifest) -> None:
    short = replace(compared, blocks=compared.blocks[:1])
    assert short.done < compared.done
    fields = frame.ab_fields({"r3": compared, "r2": compared, "r1": short})
    assert fields == {"manifests": (compared,), "ab_runs": {compared.id: "r2"}}


def test_abs_are_in_the_order_of_title_and_id(compared: Manifest) -> None:
    first, second = replace(compared, id="0" * 12), replace(compared, id="1" * 12)
    assert frame.in_order([second, first]) == (first, second)


def test_the_sessions_of_abs_are_those_of_all_blocks_and_runs_go_by_session(whole: Frame, compared: Manifest) -> None:
    assert frame.sessions_of([compared]) == {entry.session for block in compared.blocks for entry in block.sessions}
    assert frame.run_ids(whole) == {"1": "r1", "2": "r2", "3": "r3"}


@pytest.mark.parametrize(
    ("params", "steps", "windows"),
    [
        ({}, (1.0, 2.0, 3.0), ((1.0, 2.0, 3.0),)),
        ({"protocol.windows": "2"}, (1.0, 2.0, 3.0, 4.0), ((1.0, 2.0), (3.0, 4.0))),
        ({}, (), ()),  # a session that was not measured
        ({"protocol.windows": "2"}, (), ()),
    ],
)
def test_a_series_is_cut_into_its_windows(
    params: dict[str, str], steps: tuple[float, ...], windows: tuple[tuple[float, ...], ...]
) -> None:
    assert frame.Details(params, steps).windows_ms == windows
