"""The lines of a study: counts, times and reasons."""

from __future__ import annotations

import pytest

from runner.study import outline
from runner.study.declared import Arms
from runner.study.standing import DONE, FAILED, MISSING, UNFIT, WAITING, Standing
from tests.support.studies import entry, planned

CELL = planned(entry())
L4 = planned(entry(gpu="l4", model="qwen2.5-7b"))
STANDINGS = (
    Standing(CELL, DONE, 3, 0, session_s=20.0),
    Standing(CELL, MISSING, 1, 2, session_s=20.0, outdated=2),
    Standing(CELL, MISSING, 0, 3),
    Standing(CELL, FAILED, 0, 3, "oom: no space for the cache"),
    Standing(L4, UNFIT, 0, 3, "it needs about 31.2 GB"),
    Standing(L4, WAITING, 0, 3, "no l4 here"),
    Standing(L4, WAITING, 0, 3, "no l4 here"),
)


def test_every_status_has_a_line_with_what_follows_from_it() -> None:
    assert list(outline.lines("floor", STANDINGS, 120)) == [
        "floor: 7 cells: 1 done, 2 missing, 1 failed, 1 too large, 2 waiting",
        "  done      1 cell, 3 sessions",
        # 2 · 20 s
        "  missing   2 cells on cpu: 5 sessions, about 40 s, and 3 sessions of unknown length; 2 sessions are of other "
        "code or",
        "            another environment and will be measured again",
        "  failed    1 cell; --retry-failed measures it again",
        "  too large 1 cell",
        "  waiting   2 cells: l4 2",
    ]


def test_a_study_of_arms_counts_abs() -> None:
    pair = Standing(planned(entry(Arms("cache", "dynamic", "static"))), MISSING, 0, 20)
    assert list(outline.lines("graphs", [pair], 120)) == [
        "graphs: 1 A/B: 1 missing",
        "  missing   1 A/B on cpu: 20 sessions, time unknown",
    ]


def test_the_table_has_a_line_for_each_entry() -> None:
    rows = outline.table(STANDINGS, 120)
    assert rows[0].split() == ["status", "sessions", "each", "cell", "reason"]
    assert rows[2].split()[:3] == ["missing", "1/3", "20"]
    assert "unknown" in rows[3]
    assert rows[4].endswith("oom: no space for the cache")
    assert len(rows) == 8


def test_a_session_that_is_not_valid_is_still_one_of_those_asked_for() -> None:
    rows = outline.table([Standing(CELL, FAILED, 1, 0, "2 sessions not valid", lost=2)], 120)
    assert rows[1].split()[:2] == ["failed", "1/3"]


def test_failures_are_listed_with_their_reasons() -> None:
    assert list(outline.failures(STANDINGS)) == [
        "failed: tiny 64 bf16 eager dynamic cpu: oom: no space for the cache",
        "too large: qwen2.5-7b 64 bf16 eager dynamic l4: it needs about 31.2 GB",
    ]


@pytest.mark.parametrize(("session_s", "said"), [(None, "time unknown"), (90.0, "about 4 min 30 s")])
def test_the_expected_time_is_that_of_the_missing_sessions(session_s: float | None, said: str) -> None:
    assert outline.expected([Standing(CELL, MISSING, 0, 3, session_s=session_s)]) == said
