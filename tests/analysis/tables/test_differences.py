"""The table of differences: its parts and sentences."""

import pytest

from analysis.tables import differences
from analysis.tables._differencerow import ContrastRow, DerivedRow, LaunchRow, SplitRow
from tests.support.claimcells import sessions
from tests.support.frames import frame_of


@pytest.fixture
def table():
    found = [*sessions("h100", [26.0] * 3), *sessions("h200", [36.0] * 3), *sessions("h200", [30.0] * 3, dtype="fp16")]
    return differences.rows(frame_of(found), [])


@pytest.mark.medium
def test_the_rows_of_each_kind_are_there(table):
    splits = differences.of_kind(SplitRow, table)
    assert [(row.gpu, row.sessions) for row in splits] == [("h100", 3), ("h200", 3)]
    assert [row.field for row in differences.of_kind(ContrastRow, table)] == ["gpu"]
    assert [row.gpu for row in differences.of_kind(DerivedRow, table)] == ["h100", "h200"]
    own, every = differences.of_kind(LaunchRow, table)
    assert (own.sessions, every.sessions) == (3, 9)


@pytest.mark.medium
def test_the_line_of_the_papers_place_has_the_cache_of_an_ab_of_a_graph():
    found = [*sessions("h100", [26.0] * 3, cache="dynamic"), *sessions("h100", [26.0])]
    own, _ = differences.of_kind(LaunchRow, differences.rows(frame_of(found), []))
    assert (own.scope, own.sessions) == ("h100 qwen2.5-7b 2048, static cache", 1)


@pytest.mark.medium
def test_the_sentences_say_the_cause_and_what_cannot_be_told(table):
    cause, _, launches = differences.sentences(table)
    assert cause.startswith("h100 qwen2.5-7b 2048 eager, static cache, against the paper's A/B: host")
    assert launches.startswith(
        "Launch overhead that makes the paper's 14.828 ms, by the line of all cells: cannot be told"
    )
    text = differences.TABLE.markdown(table)
    assert text.index("| cause |") < text.index("| part |") < text.index("product (derived)") < text.index("| slope |")
    assert f"- {launches}" in text


def test_a_launch_overhead_that_is_told_has_its_interval_and_residual():
    row = LaunchRow(
        **dict.fromkeys(LaunchRow.__dataclass_fields__),
    )
    told = {"scope": "all cells", "sessions": 20, "hosts": 5, "paper_ms": 14.828, "residual_ms": 0.5}
    us = {"launch_us": 4.0, "launch_us_low": 3.5, "launch_us_high": 4.5}
    assert differences.sentences([LaunchRow(**{**vars(row), **told, **us})]) == [
        "Launch overhead that makes the paper's 14.828 ms, by the line of all cells: 4.00 µs [3.50–4.50]; its 5 "
        "hosts scatter about it by 0.50 ms"
    ]
