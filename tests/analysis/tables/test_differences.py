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
    (launches,) = differences.of_kind(LaunchRow, table)
    assert launches.sessions == 9


@pytest.mark.medium
def test_the_sentences_say_the_cause_and_what_cannot_be_told(table):
    cause, launches = differences.sentences(table)
    assert cause.startswith("h100 qwen2.5-7b 2048 eager, static cache, against the paper's A/B: host")
    assert launches.startswith("Launch overhead that makes the paper's 14.828 ms: cannot be told: ")
    text = differences.TABLE.markdown(table)
    assert text.index("| cause |") < text.index("| part |") < text.index("product (derived)") < text.index("| slope |")
    assert f"- {launches}" in text


def test_a_launch_overhead_that_is_told_has_its_interval_and_residual():
    row = LaunchRow(
        **dict.fromkeys(LaunchRow.__dataclass_fields__),
    )
    told = {"sessions": 20, "paper_ms": 14.828, "residual_ms": 0.5}
    us = {"launch_us": 4.0, "launch_us_low": 3.5, "launch_us_high": 4.5}
    assert differences.sentences([LaunchRow(**{**vars(row), **told, **us})]) == [
        "Launch overhead that makes the paper's 14.828 ms: 4.00 µs [3.50–4.50] by the line through 20 sessions, which "
        "scatter about it by 0.50 ms"
    ]
