"""The fastest configuration of a GPU: which rows qualify, which are compared, and what is said if none qualifies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from analysis.question import Line
from analysis.tables import _fastest, floor
from analysis.tables._floorrow import FloorRow
from tests.support.frames import frame_of
from tests.support.records import cpu_record, example_record, failed_record

(ROW,) = floor.rows(frame_of([example_record()]))
"""An unflagged row of one session, by the paper's protocol."""


def row(key: str, step_ms: float, **changes: Any) -> FloorRow:
    """A row that qualifies, unless a change prevents it. `key` tells its configuration."""
    values = {"sessions": 3, "runtime": key, "cell_key": key, "step_wall_ms": step_ms, "flags": [], **changes}
    return replace(ROW, **values)


def line(*rows: FloorRow) -> Line:
    return _fastest.fastest_line(rows, "h200")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, []),
        ({"sessions": 2}, ["2 of 3 sessions"]),
        ({"protocol": "quick-1-5"}, ["protocol quick-1-5"]),
        ({"flags": ["drifting", "gate-1"], "sessions": 1}, ["flagged drifting, gate-1", "1 of 3 sessions"]),
    ],
)
def test_a_row_qualifies_without_flags_with_three_sessions_by_the_papers_protocol(
    changes: dict[str, Any], why: Sequence[str]
) -> None:
    assert _fastest.shortfalls(row("graph", 8.0, **changes)) == why


def test_the_shortest_step_is_the_fastest_and_the_line_links_to_its_row() -> None:
    slow, quick = row("eager", 20.0), row("graph", 8.0)
    for rows in ((slow, quick), (quick, slow)):
        found = line(*rows)
        assert found.row is quick
        assert found.words == "8.00 ms: bf16 cublas graph, fastest of 2 configurations (qwen2.5-7b, ctx 2048)."


def test_a_kernel_that_is_called_like_its_runtime_is_named_once() -> None:
    assert line(row("fused", 4.0, kernel="fused")).text.startswith("bf16 fused, the only configuration")


def test_a_row_that_qualifies_wins_over_a_faster_one_that_does_not() -> None:
    found = line(row("graph", 8.0), row("compile", 6.0, flags=["drifting"]), row("engine", 7.0, sessions=2))
    assert (found.number, found.caveat) == ("8.00 ms", "")
    assert found.text == "bf16 cublas graph, the only one of 3 configurations that qualifies (qwen2.5-7b, ctx 2048)"
    assert line(row("graph", 8.0)).text == "bf16 cublas graph, the only configuration (qwen2.5-7b, ctx 2048)"


def test_if_no_row_qualifies_the_best_flagged_row_is_named_with_its_flags_and_the_flag_that_most_rows_have() -> None:
    rows = [row("graph", 8.0, flags=["gate-1"]), row("compile", 6.0, flags=["drifting", "gate-1"])]
    assert line(*rows).number == "6.00 ms"
    assert line(*rows).caveat == "Flagged drifting, gate-1: no row qualifies (gate-1 on 2 of 2)"
    # a row with too few sessions comes after flagged ones, however fast it is
    found = line(*rows, row("engine", 1.0, sessions=2))
    assert (found.number, found.caveat) == ("6.00 ms", "Flagged drifting, gate-1: no row qualifies")
    assert line(row("engine", 1.0, sessions=2)).caveat == "2 of 3 sessions: no row qualifies"


def test_of_places_with_equally_many_qualified_rows_the_one_with_most_configurations_is_compared() -> None:
    elsewhere, here = row("fused", 3.0, model="llama-3.1-8b"), row("fused", 4.0)
    assert line(elsewhere, here, row("graph", 8.0, flags=["gate-1"])).row is here


def test_rows_of_one_model_and_ctx_are_compared_those_with_the_most_configurations() -> None:
    alone = row("graph", 2.0, model="tiny")
    again = replace(alone, env_key="other", step_wall_ms=1.0)  # the same cell in another environment
    found = line(alone, again, row("eager", 20.0), row("compile", 6.0))
    assert (found.number, found.text) == (
        "6.00 ms",
        "bf16 cublas compile, fastest of 2 configurations (qwen2.5-7b, ctx 2048)",
    )
    assert line(alone, row("eager", 20.0, sessions=30)).number == "20.00 ms"  # a draw: the most sessions


def test_rows_of_another_gpu_or_without_validity_do_not_count() -> None:
    others = [row("graph", 1.0, gpu="h100"), row("compile", 2.0, valid=False)]
    assert line(*others, row("eager", 20.0)).number == "20.00 ms"
    assert line(*others).words == "No row is valid."
    assert _fastest.distance_line(others, "h200").words == "No row is valid."
    assert line(*floor.rows(frame_of([failed_record("oom")]))).words == "No row is valid."


def test_the_distance_is_that_of_the_fastest_row() -> None:
    rows = [row("eager", 20.0, r_floor=0.1), row("graph", 8.0, r_floor=0.25, floor_ms=2.0)]
    found = _fastest.distance_line(rows, "h200")
    # 1 / 0.25 = 4
    assert found.words == "25 %: of the floor: it takes 4.0 times as long as reading its bytes (2.00 ms)."
    assert found.row is rows[1]


def test_a_cpu_is_compared_with_its_measured_read_bandwidth() -> None:
    (cpu,) = floor.rows(frame_of([cpu_record()]))
    found = _fastest.distance_line([cpu], "cpu")
    assert found.number == "86 %"
    assert found.text.startswith("of the measured read bandwidth, since the catalogue has no datasheet bandwidth")
    unknown = replace(cpu, r_floor_achievable=None)
    assert "has no floor" in _fastest.distance_line([unknown], "cpu").text


@pytest.mark.parametrize(("ratio", "text"), [(0.0333, "3.3 %"), (0.0999, "10.0 %"), (0.1, "10 %"), (0.454, "45 %")])
def test_small_percentages_have_a_decimal(ratio: float, text: str) -> None:
    assert _fastest.rounded(ratio) == text
