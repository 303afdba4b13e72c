"""Steps under declared conditions of the host, beside those on the same host as it is."""

import pytest

from analysis.tables import _conditions, _trace, budget, differences
from analysis.tables._differencerow import ConditionRow
from tests.support.claimcells import sessions
from tests.support.frames import frame_of
from tests.support.hostconditions import conditioned


def rows(records):
    frame = frame_of(records)
    usual = [group for group in budget.groups_of(frame) if group.valid]
    return _conditions.condition_rows(frame, usual, _trace.traces(frame, []))


def under(declared, steps_ms, later_ms=0, **cell):
    for found in sessions("h100", steps_ms, **cell):
        made = conditioned(declared, found)
        made["session"]["started_ms"] += later_ms
        made["session"]["finished_ms"] += later_ms
        yield made


@pytest.mark.medium
def test_each_condition_stands_beside_the_same_cell_on_the_same_host_as_it_is():
    usual, pinned, busy = (
        [*sessions("h100", [20.0, 25.0, 30.0])],
        [*under("pinned:1", [40.0, 50.0, 60.0])],
        [*under("busy:8", [25.0, 30.0, 35.0])],
    )
    as_it_is, beside, on_one = rows([*usual, *pinned, *busy])
    assert [row.condition for row in (as_it_is, beside, on_one)] == ["as it is", "busy:8", "pinned:1"]
    assert (as_it_is.step_wall_ms, as_it_is.ratio, as_it_is.cores) == (25.0, None, None)
    assert (as_it_is.step_wall_ms_least, as_it_is.step_wall_ms_most) == (20.0, 30.0)
    # 50 / 25; the ends are the extreme pairs, 40 / 30 and 60 / 20
    assert (on_one.sessions, on_one.step_wall_ms, on_one.ratio) == (3, 50.0, pytest.approx(2.0))
    assert (on_one.ratio_low, on_one.ratio_high) == (pytest.approx(40 / 30), pytest.approx(3.0))
    assert (on_one.step_wall_ms_least, on_one.step_wall_ms_most) == (40.0, 60.0)
    cores = usual[0]["host"]["cores"]
    assert (on_one.cores, on_one.allowed_cores, on_one.neighbours, on_one.neighbour_cores) == (1, cores, 0, None)
    assert (beside.cores, beside.neighbours, beside.neighbour_cores) == (cores, 8, 8)
    assert "host-condition" in on_one.flags
    assert [len(ids) for row in (as_it_is, beside, on_one) for ids in row.origins.values()] == [3, 3, 3]
    assert on_one.anchor == on_one.origin_names[0]


@pytest.mark.medium
def test_without_a_session_on_the_same_host_as_it_is_nothing_is_compared():
    (row,) = rows(under("pinned:1", [40.0, 50.0]))
    assert (row.ratio, row.ratio_low, row.hosts) == (None, None, 1)
    elsewhere = [*sessions("h100", [20.0] * 3)]
    for found in elsewhere:
        found["keys"]["host_id"] = "b" * 12
    as_it_is, row = rows([*elsewhere, *under("pinned:1", [40.0, 50.0])])
    assert (as_it_is.condition, row.ratio) == ("as it is", None)
    assert differences.sentences([row]) == [
        "h100 qwen2.5-7b 2048 eager, static cache, under pinned:1: no session of the cell ran on the same host as it "
        "is, so nothing is compared"
    ]


@pytest.mark.medium
def test_invalid_sessions_and_those_of_older_code_are_left_out():
    older = [*under("busy:8", [90.0])]
    older[0]["keys"]["code_key"] = "b" * 12
    (wrong,) = under("busy:8", [10.0], later_ms=1)
    found = rows([*older, *under("busy:8", [50.0], later_ms=2), {**wrong, "valid": False}])
    assert [(row.sessions, row.step_wall_ms) for row in found] == [(1, 50.0)]


@pytest.mark.medium
def test_other_cells_have_rows_of_their_own_in_the_order_of_the_cell():
    found = rows([*under("busy:8", [50.0], ctx=4096), *under("busy:8", [40.0])])
    assert [(row.ctx, row.step_wall_ms) for row in found] == [(2048, 40.0), (4096, 50.0)]


@pytest.mark.medium
def test_the_table_says_what_a_condition_does_and_where_few_sessions_say_it():
    table = differences.rows(frame_of([*sessions("h100", [20.0] * 3), *under("pinned:1", [40.0, 50.0])]), [])
    assert [row.condition for row in differences.of_kind(ConditionRow, table)] == ["as it is", "pinned:1"]
    said = (
        "h100 qwen2.5-7b 2048 eager, static cache, under pinned:1: 2.25× [2.00–2.50] the step on the host as it is; 2 "
    )
    assert f"{said}of at least 3 sessions" in differences.sentences(table)
    near = differences.rows(frame_of([*sessions("h100", [20.0] * 3), *under("pinned:1", [19.0, 20.5, 22.0])]), [])
    (said,) = [text for text in differences.sentences(near) if "pinned" in text]
    assert said.endswith("1.02× [0.95–1.10] the step on the host as it is; the sessions do not tell both apart")
    (part,) = [part for part in differences.TABLE.grids(table) if part.name == "conditions"]
    assert "| pinned:1 | 2 | 1 | 45.00 | 40.00 | 50.00 | 2.250 |" in part.markdown()


def test_without_sessions_under_a_condition_there_is_no_row():
    assert rows(sessions("h100", [20.0])) == []
