"""One row for sessions that are alike: whose figure it shows, how many there were, and what marks it."""

import pytest

from analysis import groups
from runner.record.flags import MIXED_HOST, WIDE_RANGE
from tests.support.derive import derive, judge
from tests.support.energies import energy_record
from tests.support.frames import frame_of
from tests.support.records import STARTED_MS, example_record, of_gate_version_1

TAILS = ("step_wall_p90_ms", "step_wall_p95_ms", "p99_ms")


def rows_of(records, metrics=(groups.WALL,), every_code=False):
    return groups.rows(frame_of(records), [*metrics], every_code)


def judged(found):
    derive(found)
    judge(found)
    return found


def at(minutes, **changes):
    """A session that began so many minutes after the example's."""
    found = example_record(**changes)
    for name in ("started_ms", "finished_ms"):
        found["session"][name] += minutes * 60_000
    return found


def coded(found, code):
    found["keys"]["code_key"] = code * 12
    return found


def tail_record(slowest_ms):
    """300 steps of 36 ms, of which every eighth takes longer: p90, p95 and p99 are among those."""
    return tail_of(([36.0] * 7 + [slowest_ms]) * 37 + [36.0] * 4)


def tail_of(steps_ms):
    found = example_record(protocol={"name": "tail", "steps": len(steps_ms)})
    found["passes"]["wall"]["steps_ms"] = steps_ms
    return judged(found)


@pytest.mark.medium
@pytest.mark.parametrize("name", TAILS)
def test_a_tail_is_the_worst_sessions(name):
    (row,) = rows_of([tail_record(ms) for ms in (40.0, 60.0, 50.0)], (groups.WALL, *TAILS))
    assert getattr(row, name) == 60.0
    assert row.step_wall_ms == 36.0


@pytest.mark.medium
def test_slow_steps_in_a_row_are_too_few_for_p99_and_one_such_session_is_enough():
    """Ten bursts of four are worth fewer independent steps than p99 needs, although 300 steps are enough of them."""
    bursts = tail_of(([36.0] * 26 + [40.0] * 4) * 10)
    assert bursts["latency"]["step_wall_p99_ms"] == 40.0
    for records in ([bursts], [tail_record(40.0), tail_record(50.0), bursts]):
        (row,) = rows_of(records, (groups.WALL, *TAILS))
        assert row.p99_ms is None


@pytest.mark.parametrize(
    ("name", "path"), [("peak_bytes", ("memory", "peak_bytes")), ("logit_error", ("gate", "error"))]
)
def test_so_are_memory_and_error(name, path):
    found = [example_record() for _ in range(3)]
    for one, value in zip(found, (2, 8, 4), strict=True):
        one[path[0]][path[1]] = value
    (row,) = rows_of(found, (groups.WALL, name))
    assert getattr(row, name) == 8.0


@pytest.mark.medium
def test_every_other_metric_is_the_median_sessions():
    (row,) = rows_of([example_record(step_ms=ms) for ms in (30.0, 50.0, 33.0)])
    assert row.step_wall_ms == example_record(step_ms=33.0)["latency"]["step_wall_ms"]


@pytest.mark.medium
@pytest.mark.parametrize(("slowest", "wide"), [(107.0, False), (108.0, True), (109.0, True)])
def test_three_times_the_quickest_is_wide(slowest, wide):
    found = [example_record(step_ms=ms) for ms in (36.0, slowest)]
    for one, ms in zip(found, (36.0, slowest), strict=True):
        one["latency"]["step_wall_ms"] = ms
    (row,) = rows_of(found)
    assert (WIDE_RANGE in row.flags) is wide


def disturbed(found):
    found["passes"]["wall"]["other_cpu_cores"] = 4.0
    return judged(found)


@pytest.mark.medium
def test_disturbed_sessions_are_counted_apart_unless_all_are():
    (row,) = rows_of(
        [example_record(step_ms=36.0), example_record(step_ms=37.0), disturbed(example_record(step_ms=90.0))]
    )
    assert (row.sessions, row.disturbed) == (2, 1)
    assert row.step_wall_ms_high < 38
    (row,) = rows_of([disturbed(example_record(step_ms=ms)) for ms in (80.0, 90.0)])
    assert (row.sessions, row.disturbed) == (2, 0)


@pytest.mark.medium
def test_two_hosts_are_mixed():
    here, there = example_record(), example_record()
    there["keys"]["host_id"] = "0" * 12
    (row,) = rows_of([here, there])
    assert row.hosts == sorted([here["keys"]["host_id"], "0" * 12])
    assert MIXED_HOST in row.flags
    (row,) = rows_of([here, example_record()])
    assert row.flags == []


@pytest.mark.medium
@pytest.mark.parametrize("key", ["code_key", "env_key"])
def test_another_code_or_environment_is_another_row(key):
    other = example_record()
    other["keys"][key] = "0" * 12
    assert [row.sessions for row in rows_of([example_record(), other], every_code=True)] == [1, 1]


def test_another_protocol_or_cell_is_another_row():
    others = [example_record(protocol={"name": "custom", "steps": 40}), example_record(cell={"ctx": 4096})]
    assert [row.sessions for row in rows_of([example_record(), *others])] == [1, 1, 1]


@pytest.mark.medium
def test_of_two_codes_the_one_that_began_last_has_the_row_and_counts_the_other():
    # a began first and last: the newest session decides, not the oldest
    found = [coded(at(0), "a"), coded(at(5), "b"), coded(at(6), "b"), coded(at(9), "a")]
    (row,) = rows_of(found)
    assert (row.code_key, row.sessions, row.superseded) == ("a" * 12, 2, 2)
    assert row.last_start_ms == STARTED_MS + 9 * 60_000
    assert [row.superseded for row in rows_of(found, every_code=True)] == [0, 0]


def invalid(found):
    found["passes"]["wall"]["collected"] = 1
    return judged(found)


@pytest.mark.medium
def test_valid_and_invalid_older_sessions_are_counted_each_with_its_kind():
    found = [
        coded(at(0), "a"),
        coded(at(1), "a"),
        coded(invalid(at(2)), "a"),
        coded(at(8), "b"),
        coded(invalid(at(9)), "b"),
    ]
    made = rows_of(found)
    assert len(made) == 2
    rows = {row.valid: row for row in made}
    assert (rows[True].superseded, rows[False].superseded) == (2, 1)
    assert not rows[False].older_code


def test_an_older_rejection_that_no_row_counts_keeps_its_own():
    rows = {row.valid: row for row in rows_of([coded(invalid(at(0)), "a"), coded(at(9), "b")])}
    assert (rows[False].older_code, rows[False].code_key) == (True, "a" * 12)
    assert rows[False].reasons == ["1 garbage collections inside the wall window"]


@pytest.mark.medium
def test_one_unchecked_session_makes_its_row_unchecked():
    mixed = [coded(of_gate_version_1(at(0)), "a"), coded(at(9), "a")]
    (row,) = rows_of([*mixed, coded(at(5), "b")])
    assert (row.code_key, row.superseded) == ("b" * 12, 2)


def test_a_session_whose_steps_were_not_checked_is_older_whenever_it_was_measured():
    unchecked = coded(of_gate_version_1(at(9)), "a")
    (row,) = rows_of([unchecked, coded(at(0), "b")])
    assert (row.code_key, row.superseded) == ("b" * 12, 1)


def metered(joules):
    """A session whose step takes so many joules."""
    found = energy_record()
    found["energy"]["joules_per_token"] = joules
    return found


JOULES = "joules_per_token"


@pytest.mark.medium
@pytest.mark.parametrize(("values", "low", "high"), [((3.0, 1.0), None, None), ((3.0, 1.0, 2.5), 1.0, 3.0)])
def test_joules_are_the_median_with_their_range_from_three_sessions_on(values, low, high):
    (row,) = rows_of([metered(joules) for joules in values], (groups.WALL, JOULES))
    assert row.joules_per_token == sorted(values)[1] if len(values) == 3 else 2.0
    assert (row.joules_per_token_low, row.joules_per_token_high) == (low, high)


@pytest.mark.medium
def test_sessions_without_energy_are_not_in_its_range():
    (row,) = rows_of([example_record(), metered(2.0), metered(1.0)], (groups.WALL, JOULES))
    assert (row.sessions, row.joules_per_token, row.joules_per_token_low) == (3, 1.5, None)


@pytest.mark.medium
def test_joules_of_another_step_are_not_the_rows():
    apart = metered(9.0)
    apart["flags"] = sorted([*apart["flags"], "energy-disagrees"])
    metrics = (groups.WALL, JOULES, "joules_per_token_above_idle")
    (row,) = rows_of([metered(1.0), metered(2.0), metered(3.0), apart], metrics)
    assert (row.sessions, row.joules_per_token) == (4, 2.0)
    assert (row.joules_per_token_low, row.joules_per_token_high) == (1.0, 3.0)
    (row,) = rows_of([apart], metrics)
    assert (row.sessions, row.joules_per_token, row.joules_per_token_above_idle) == (1, None, None)
    assert "energy-disagrees" in row.flags


def test_without_energy_there_are_no_joules():
    (row,) = rows_of([example_record()], (groups.WALL, JOULES))
    assert (row.joules_per_token, row.joules_per_token_low, row.joules_per_token_high) == (None, None, None)
