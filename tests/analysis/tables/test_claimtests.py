"""The rules of the claims, on made-up records."""

import pytest

from analysis import paper
from analysis.tables import _claimtests
from analysis.tables._claimrow import Need, verdict
from tests.support.claimcells import ab_row, evidence, packed, sessions
from tests.support.papers import with_cell

HERE = ("qwen2.5-7b", 2048)


def outcomes(found, **wanted):
    """Outcome by tested quantity, card and setting, of the rows with these values."""
    chosen = [row for row in found if all(getattr(row, name) == value for name, value in wanted.items())]
    return {(row.test, row.gpu, row.setting): row.outcome for row in chosen}


def test_each_claim_of_the_abstract_has_a_rule():
    assert [claim.name for claim in paper.claims()] == list(_claimtests.RULES)


@pytest.mark.medium
@pytest.mark.parametrize("claim", list(_claimtests.RULES))
def test_without_records_nothing_is_measured_and_every_test_names_what_is_missing(claim):
    found = evidence(claim, list(sessions("h200", [30.0], dtype="fp32")))
    assert verdict(row.outcome for row in found) == "not measured here"
    assert all(row.missing for row in found)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("step_ms", "busy_ms", "of_step", "of_kernels"),
    [(5.0, 4.8, "yes", "yes"), (36.0, 4.87, "no", "yes"), (36.0, 20.0, "no", "no")],
)
def test_memory_dominates_a_step_or_only_its_kernels(step_ms, busy_ms, of_step, of_kernels):
    found = evidence("memory", list(sessions("h200", [step_ms] * 3, busy_ms)))
    setting = "eager, static cache"
    assert outcomes(found, gpu="h200", ctx=2048, model=HERE[0]) == {
        ("reading / step", "h200", setting): of_step,
        ("reading / kernels", "h200", setting): of_kernels,
    }
    assert len(found) == 2 * 12 * 2  # cards, cells, tests
    missing = [need for row in found for need in row.missing]
    assert len({*missing}) == 2 * 12 - 1
    (headline,) = {row.paper for row in found if row.gpu == "h100" and (row.model, row.ctx) == HERE and row.paper}
    assert headline == "0.270"


@pytest.mark.medium
def test_the_floor_falls_with_the_bandwidth_if_the_same_cell_says_so_on_both_cards():
    # the floors are 4.256 ms on the H100 and 2.971 on the H200: equal steps give 0.70 times the ratio
    same = [*sessions("h100", [20.0] * 3), *sessions("h200", [20.0] * 3)]
    setting = ("r_floor of h200 / h100", "h200", "eager, static cache")
    assert outcomes(evidence("bandwidth", same), ctx=2048, model=HERE[0])[setting] == "yes"
    faster = [*sessions("h100", [20.0] * 3), *sessions("h200", [10.0] * 3)]
    assert outcomes(evidence("bandwidth", faster), ctx=2048, model=HERE[0])[setting] == "no"
    scattered = [*sessions("h100", [10.0, 20.0, 40.0]), *sessions("h200", [20.0] * 3)]
    assert outcomes(evidence("bandwidth", scattered), ctx=2048, model=HERE[0])[setting] == "undecided"
    few = [*sessions("h100", [20.0] * 2), *sessions("h200", [20.0] * 3)]
    assert outcomes(evidence("bandwidth", few), ctx=2048, model=HERE[0])[setting] == "undecided"


@pytest.mark.medium
def test_cells_with_other_caches_are_no_pair():
    other = [*sessions("h100", [20.0] * 3), *sessions("h200", [20.0] * 3, cache="dynamic")]
    rows = [row for row in evidence("bandwidth", other) if (row.model, row.ctx) == HERE and "eager" in row.setting]
    assert [row.missing for row in rows] == [[Need("h100", *HERE, "eager, dynamic cache")]]
    alone = evidence("bandwidth", list(sessions("h100", [20.0] * 3)))
    assert Need("h200", *HERE, "eager, static cache") in [need for row in alone for need in row.missing]


AB = "A/B of eager against graph, static cache"


@pytest.mark.medium
def test_graphs_are_tested_in_abs_and_their_gain_against_the_slow_card():
    none = evidence("graphs", list(sessions("h200", [30.0])))
    assert [need.gpu for row in none for need in row.missing] == ["h100", "h200", "h100", "l4"]
    all_cards = [ab_row("h100", 1.26, 1.25, 1.27), ab_row("h200", 2.0, 1.8, 2.2), ab_row("l4", 1.03, 1.02, 1.04)]
    assert outcomes(evidence("graphs", list(sessions("h200", [30.0])), all_cards)) == {
        ("eager / graph", "h100", AB): "yes",
        ("eager / graph", "h200", AB): "yes",
        ("gain of h100 / gain of l4", "h100", AB): "yes",
    }
    slower = [ab_row("h100", 0.9, 0.85, 0.95), ab_row("l4", 1.3, 1.2, 1.4)]
    found = outcomes(evidence("graphs", list(sessions("h200", [30.0])), slower))
    assert [*found.values()] == ["no", "not measured", "no"]


@pytest.mark.medium
def test_an_ab_in_the_other_order_counts_and_one_of_another_cell_does_not():
    turned = ab_row("h100", 0.5, 0.4, 0.6, arm_a="graph", arm_b="eager", verdict="SLOWER", flags=["drifting"])
    (row, *_) = evidence("graphs", list(sessions("h200", [30.0])), [turned])
    assert (row.ours, row.outcome, row.sessions, row.flags) == (2.0, "yes", 10, ["drifting"])
    assert (row.ours_low, row.ours_high) == (pytest.approx(1 / 0.6), pytest.approx(1 / 0.4))
    (row, *_) = evidence("graphs", list(sessions("h200", [30.0])), [ab_row("h100", 2.0, 1.8, 2.2, dtype="fp16")])
    assert row.outcome == "not measured"
    longer = evidence("graphs", list(sessions("h200", [30.0])), [ab_row("h200", 2.0, 1.8, 2.2, ctx=16384)])
    assert [(row.ctx, row.outcome) for row in longer if row.gpu == "h200"] == [(2048, "not measured"), (16384, "yes")]


@pytest.mark.medium
@pytest.mark.parametrize(("step_ms", "outcome"), [(10.0, "yes"), (30.0, "no")])
def test_a_format_must_realise_what_the_papers_does(step_ms, outcome):
    # the bytes allow 3.1, of which half are 1.55: 36 / 10 = 3.6 is above, 36 / 30 = 1.2 below
    found = evidence("quantisation", [*sessions("h200", [36.0] * 3, busy_ms=35.0), *packed([step_ms] * 3)])
    row = next(row for row in found if row.gpu == "h200" and row.setting == "gptq exllamav2, eager")
    assert (row.outcome, row.condition, row.sessions) == (outcome, "> 0.5", 3)
    assert row.ours == pytest.approx(36 / step_ms / 3.1, rel=0.02)
    assert row.paper == "1.16 (3.59× of 3.10×, l4)"
    assert {row.condition for row in found if "gptq" not in row.setting} == {"< 0.5"}
    assert len(found) == 2 * 2 * 3  # cards, runtimes, formats


@pytest.mark.medium
def test_a_format_tells_nothing_beside_a_step_that_the_host_paces():
    # kernels run for 4.87 of 36 ms: no kernel could realise the saving
    found = evidence("quantisation", [*sessions("h200", [36.0] * 3), *packed([30.0] * 3)])
    row = next(row for row in found if row.gpu == "h200" and row.setting == "gptq exllamav2, eager")
    assert (row.outcome, row.void) == ("undecided", "the host paces the unquantised step")
    assert row.ours == pytest.approx(36 / 30 / 3.1, rel=0.02)


@pytest.mark.medium
def test_a_format_is_also_tested_at_other_contexts_that_were_measured():
    longer = [{**found, "cell": {**found["cell"], "ctx": 16384}} for found in packed([30.0] * 3)]
    found = evidence("quantisation", list(map(with_cell, longer)))
    rows = [row for row in found if row.gpu == "h200" and row.setting == "gptq exllamav2, eager"]
    assert [(row.ctx, row.outcome, row.paper is None) for row in rows] == [
        (2048, "not measured", False),
        (16384, "not measured", True),
    ]
    assert rows[1].missing == [
        Need("h200", HERE[0], 16384, "gptq exllamav2, eager beside the unquantised cell on one host")
    ]


@pytest.mark.medium
def test_a_format_without_a_baseline_on_its_host_is_not_measured():
    found = evidence("quantisation", list(packed([10.0] * 3)))
    row = next(row for row in found if row.gpu == "h200" and row.setting == "gptq exllamav2, eager")
    (need,) = row.missing
    assert (row.outcome, need.setting) == (
        "not measured",
        "gptq exllamav2, eager beside the unquantised cell on one host",
    )
