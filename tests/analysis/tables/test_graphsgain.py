"""The gain of CUDA Graphs on a GPU, from A/Bs in either order of arms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis.abrow import ABRow
from analysis.tables import _graphsgain, floor
from tests.support.frames import AB_ROW, frame_of
from tests.support.records import example_record


def ab_row(ratio: float, verdict: str | None, arms: tuple[str, str] = ("eager", "graph"), **changes: Any) -> ABRow:
    ends = {"ratio_low": ratio * 0.9, "ratio_high": ratio * 1.1, "interval": "ci95", "sessions": 20}
    steps = {"a_ms": 8.0 * ratio, "b_ms": 8.0, "flags": []}
    return replace(
        AB_ROW, **{"arm_a": arms[0], "arm_b": arms[1], "ratio": ratio, **ends, **steps, "verdict": verdict, **changes}
    )


def words(*rows: ABRow) -> str:
    return _graphsgain.graphs_line(rows, "h200").words


def test_the_line_has_the_ratio_its_interval_its_verdict_and_both_steps() -> None:
    row = ab_row(2.0, "FASTER")
    said = "2.00×: FASTER [1.80–2.20]: eager 16.00 ms, graph 8.00 ms (qwen2.5-7b, ctx 2048, n = 20)."
    assert words(row) == said
    assert _graphsgain.graphs_line([row], "h200").row is row
    assert words(replace(row, flags=["drifting"])) == f"{said} Flags: drifting."


def test_the_order_of_the_arms_does_not_matter() -> None:
    # graph over eager 0.5 is eager over graph 2; its ends 0.45 and 0.55 become 1 / 0.55 and 1 / 0.45
    turned = ab_row(0.5, "SLOWER", ("graph", "eager"))
    assert words(turned).startswith("2.00×: FASTER [1.82–2.22]: eager 8.00 ms, graph 4.00 ms")
    assert words(ab_row(0.8, "SLOWER")).startswith("0.80×: SLOWER [0.72–0.88]")
    assert words(ab_row(1.0, "SAME", ("graph", "eager"))).startswith("1.00×: SAME")


def test_arms_of_another_field_are_named() -> None:
    row = ab_row(0.5, "SLOWER", ("static", "dynamic"))
    assert _graphsgain.gain(row) is None
    turned = _graphsgain.gain(row, "dynamic", "static")
    assert turned is not None
    assert (turned.ratio, turned.first_ms, turned.second_ms, turned.verdict) == (2.0, row.b_ms, row.a_ms, "FASTER")


def test_a_format_and_options_are_named() -> None:
    flash = ab_row(2.0, "FASTER", options="sdpa:flash")
    assert "(qwen2.5-7b, ctx 2048, sdpa:flash, n = 20)" in words(flash)
    packed = ab_row(1.5, "FASTER", quant="awq", sessions=5)
    assert words(flash, packed).endswith("; 1.50× for qwen2.5-7b, ctx 2048, awq.")


def test_an_interval_below_95_percent_is_labelled_and_a_missing_one_is_absent() -> None:
    assert "[1.80–2.20] (93.75 %): eager" in words(ab_row(2.0, "FASTER", sessions=5))
    assert "[1.80–2.20] (range): eager" in words(ab_row(2.0, None, sessions=3, interval="range"))
    assert words(ab_row(2.0, None, sessions=1, interval="none")).startswith("2.00×: no verdict: eager")


def test_the_ab_with_the_most_sessions_is_chosen_and_the_others_are_named() -> None:
    chosen, other = ab_row(2.0, "FASTER"), ab_row(1.5, "FASTER", ctx=4096, sessions=5)
    assert words(other, chosen).startswith("2.00×")
    assert words(other, chosen).endswith("; 1.50× for qwen2.5-7b, ctx 4096.")
    third = ab_row(1.2, "FASTER", ctx=8192, sessions=5)
    assert words(other, chosen, third).endswith("; 1.20× to 1.50× in 2 more A/Bs.")


def test_the_fused_step_is_compared_with_the_graph() -> None:
    fused = ab_row(2.0, "FASTER", ("graph", "fused"))
    line = _graphsgain.fused_line([ab_row(3.0, "FASTER"), fused], "h200")
    assert line.words == "2.00×: FASTER [1.80–2.20]: graph 16.00 ms, fused 8.00 ms (qwen2.5-7b, ctx 2048, n = 20)."
    assert line.row is fused
    missing = _graphsgain.fused_line([fused], "h100")
    assert (missing.words, missing.row) == ("No A/B of graph against fused was measured on this GPU.", None)


def test_without_an_ab_of_these_arms_on_the_gpu_the_papers_ratio_is_given() -> None:
    others = [ab_row(9.0, "FASTER", ("eager", "compile")), ab_row(2.0, "FASTER", gpu="h100")]
    assert words(*others) == "No A/B of eager against graph was measured on this GPU."
    (line,) = [_graphsgain.graphs_line([], gpu) for gpu in ("l4",)]
    assert line.words == "No A/B of eager against graph was measured on this GPU; the paper measured 1.028×."
    assert line.row is None


@pytest.mark.medium
def test_without_an_ab_the_medians_of_rows_that_differ_in_nothing_else_are_compared() -> None:
    (eager,) = floor.rows(frame_of([example_record(step_ms=ms) for ms in (36.0, 38.0, 40.0)]))
    eager = replace(eager, step_wall_ms=38.0, flags=["gate-1"])
    graph = replace(eager, runtime="graph", code_key="f" * 12, step_wall_ms=10.0, sessions=2, flags=["drifting"])
    quantised = [replace(row, quant="awq", sessions=9) for row in (eager, graph)]
    found = _graphsgain.unpaired_line([*quantised, eager, graph], "h200")
    assert found is not None
    # 38 / 10
    assert found.words == (
        "3.80×: not an A/B, but the ratio of medians of sessions: eager 38.00 ms (n = 3) / graph 10.00 ms (n = 2), "
        "qwen2.5-7b, ctx 2048. Not measured in alternation. Flags: drifting, gate-1."
    )
    assert found.row is graph
    others = [replace(eager, gpu="h100"), replace(eager, ctx=4096), replace(eager, valid=False)]
    assert _graphsgain.unpaired_line([*others, graph], "h200") is None
