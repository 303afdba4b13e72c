"""The sessions behind derived rows."""

from dataclasses import replace

import pytest

from analysis import groups
from analysis.tables import _trace
from analysis.tables._claimrow import Limit, Place, Quantity, evidence
from analysis.tables._trace import FIRST, NAMED, Traces, joined, of_sessions
from tests.support.claimcells import sessions
from tests.support.frames import AB_ROW, GROUP, frame_of


def row_of(origins):
    quantity = Quantity(0.6, 0.6, 0.7, "range", 3, 1, [], origins)
    return evidence("memory", Place("t", "h100", "m", 2048, "eager"), Limit(0.5, is_above=True), quantity, [])


@pytest.mark.medium
def test_a_group_leads_to_its_counted_sessions_under_the_anchor_that_the_report_gives_it():
    quiet = list(sessions("h200", [20.0, 30.0]))
    disturbed = {**quiet[0], "passes": {**quiet[0]["passes"]}, "flags": ["disturbed"]}
    frame = frame_of([*quiet, disturbed])
    (group,) = groups.rows(frame, ["step_wall_ms"])
    found = _trace.traces(frame, []).of_group(group)
    assert [*found.values()] == [[f"{number:016x}" for number in range(group.sessions)]]
    assert row_of(found).anchor == next(iter(found))


def test_an_ab_leads_to_the_sessions_of_its_blocks():
    assert Traces(compared={AB_ROW.ab: ["a", "b"]}).of_ab(AB_ROW) == {f"ab-{AB_ROW.ab}": ["a", "b"]}
    assert Traces().of_ab(AB_ROW) == {f"ab-{AB_ROW.ab}": ()}


def test_only_sessions_on_hosts_of_both_groups_are_behind_a_ratio_within_hosts():
    first = replace(GROUP, hosts=["1", "2"])
    second = replace(GROUP, cell_key="1" * 12, hosts=["2", "3"])
    traces = Traces({first.key: {"a": "1", "b": "2"}, second.key: {"c": "2", "d": "3"}})
    assert [*traces.on_common_hosts(first, second).values()] == [["b"], ["c"]]


def test_joined_origins_have_each_session_once():
    assert joined({"g": ["a"]}, {"g": ["a", "b"], "h": ["c"]}) == {"g": ["a", "b"], "h": ["c"]}
    assert joined() == {}


def test_sessions_that_are_no_group_have_an_anchor_of_their_own():
    (anchor,) = of_sessions(["a", "b"])
    assert anchor.startswith("set-")
    assert of_sessions(["a"]).keys() != {anchor}
    assert of_sessions([]) == {}


def test_a_row_leads_to_its_only_origin_or_to_a_place_that_lists_all():
    assert row_of({"group-1": ["a"]}).anchor == "group-1"
    assert row_of({}).anchor is None
    several = row_of({"group-1": ["a"], "group-2": ["b"]})
    assert several.anchor.startswith("rows-")
    assert several.anchor == row_of({"group-1": ["a"], "group-2": ["b"]}).anchor
    assert several.value("origin_names") == ["group-1", "group-2"]


def test_a_line_names_the_sessions_of_each_origin_once_or_the_first_of_many():
    many = [f"{number:x}" for number in range(NAMED + 1)]
    lines = _trace.session_lines([row_of({"g": ["a", "b"]}), row_of({"g": ["a", "b"], "h": many}), row_of({"i": []})])
    assert lines == [
        "Sessions of g: a, b",
        f"Sessions of h: {', '.join(many[:FIRST])} and {NAMED + 1 - FIRST} more (`--format json` has all)",
    ]
