"""The derived product of two ratios."""

from dataclasses import replace

import pytest

from analysis.tables import _derivedratio
from analysis.tables._graphsgain import gain
from analysis.tables._trace import Traces
from tests.support.frames import AB_ROW, GROUP

SPOT = ("h200", "qwen2.5-7b", 2048)
GRAPH = gain(AB_ROW)  # 2.0, from 1.8 to 2.2, of ten sessions
CACHE = gain(
    replace(
        AB_ROW, field="cache", arm_a="static", arm_b="dynamic", ratio=0.8, ratio_low=0.75, ratio_high=0.9, sessions=5
    ),
    "dynamic",
    "static",
)


def cell(runtime, cache, step_ms, **fields):
    ends = {"step_wall_ms_low": step_ms - 1, "step_wall_ms_high": step_ms + 1, "interval": "range"}
    return replace(GROUP, runtime=runtime, cache=cache, step_wall_ms=step_ms, **{"sessions": 3, **ends, **fields})


CELLS = [cell("eager", "dynamic", 40.0), cell("eager", "static", 20.0), cell("graph", "static", 10.0)]


def derived(cells=(), cache=None, graph=None, asked=(SPOT,)):
    gains = [{} if each is None else {SPOT: each} for each in (cache, graph)]
    return _derivedratio.derived_rows(asked, cells, *gains, Traces({}, {"0" * 12: ["s"]}))


def test_both_abs_have_a_product_even_beside_rows():
    (row,) = derived(CELLS, CACHE, GRAPH)
    assert (row.source, row.missing) == ("A/Bs", "")
    # static over dynamic is 0.8, so 1.25 the other way round; 1.25 · 2; 1.11 · 1.8; 1.33 · 2.2
    assert (row.cache_ratio, row.graph_ratio, row.product) == (1.25, 2.0, 2.5)
    assert (row.product_low, row.product_high) == (pytest.approx(2.0), pytest.approx(2.9333, abs=1e-4))
    assert row.sessions == 5
    assert row.origins == {"ab-000000000000": ["s"]}


def test_without_both_abs_all_three_rows_have_a_product_and_the_missing_ab_is_named():
    flagged = [replace(CELLS[0], flags=["drifting"], sessions=2), *CELLS[1:]]
    (row,) = derived(flagged, None, GRAPH)
    assert (row.source, row.cache_ratio, row.graph_ratio, row.product) == ("rows", 2.0, 2.0, 4.0)
    # the static row cancels: 39 / 11 to 41 / 9
    assert (row.product_low, row.product_high) == (pytest.approx(39 / 11), pytest.approx(41 / 9))
    assert (row.sessions, row.flags) == (2, ["drifting"])
    assert row.missing == "A/B of the cache (eager, dynamic against static)"


def test_rows_without_a_common_host_differ_in_their_hosts_too():
    (row,) = derived([*CELLS[:2], replace(CELLS[2], hosts=["1" * 12])])
    assert (row.product, row.flags) == (4.0, ["mixed-host"])
    both = [replace(cell, hosts=["0" * 12, "1" * 12]) for cell in CELLS]
    assert [row.flags for row in derived(both)] == [[]]


def test_without_either_it_says_what_is_missing():
    (row,) = derived(CELLS[1:], None, None)
    assert (row.source, row.product, row.sessions, row.flags) == (None, None, None, [])
    assert row.missing == (
        "A/B of the cache (eager, dynamic against static); A/B of eager against graph (static); row eager, dynamic"
    )


def test_the_newest_row_of_a_cell_counts():
    newer = replace(CELLS[2], step_wall_ms=8.0, last_start_ms=1)
    (row,) = derived([newer, *CELLS])
    assert row.product == 5.0


def test_another_place_has_a_row_only_with_a_product():
    elsewhere = [replace(each, ctx=16384) for each in CELLS]
    assert [(row.ctx, row.product) for row in derived(elsewhere)] == [(2048, None), (16384, 4.0)]
    assert [row.ctx for row in derived(elsewhere[:2])] == [2048]
