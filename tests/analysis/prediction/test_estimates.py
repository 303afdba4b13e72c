"""Estimates: ranges of tested and untested cards, by hand."""

import math
from dataclasses import replace

import pytest

from analysis.prediction import estimates, stepmodel
from analysis.prediction.constants import Constants
from analysis.prediction.estimates import Card
from analysis.prediction.workload import workload
from runner.cell import catalogue, floors
from tests.support.predictions import EAGER, FUSED, GRAPH, KNOWN, TRUTH

QWEN = catalogue.models()["qwen2.5-7b"].shape
H100, L4 = Card("h100", "9.0", 3350.0), Card("l4", "8.9", 300.0)
FLOOR_L4 = floors.floor_ms(workload(GRAPH, QWEN, 2048).streamed_bytes, 300.0)


def of(card, configuration, ctx=2048, known=KNOWN):
    return estimates.estimate(known, card, QWEN, ctx, configuration)


def test_a_tested_card_has_the_models_step_and_the_range_of_held_out_rows():
    found = of(H100, GRAPH)
    assert found.step_ms == stepmodel.step(TRUTH, GRAPH, workload(GRAPH, QWEN, 2048), 3350.0).ms
    assert (found.low_ms, found.high_ms) == (found.step_ms / math.exp(0.1), found.step_ms * math.exp(0.1))
    assert (found.basis, found.caveats) == ("hopper: h100, h200", ())
    assert found.contains(found.step_ms * 1.1)
    assert not found.contains(found.step_ms * 1.11)


def test_a_step_that_exchanges_limit_says_that_one_model_showed_their_time():
    """Memory takes 165 µs for the 470 MB of a layer, at 0.85 of 3350 GB/s."""
    plain, packed, fused = TRUTH.products
    slow = Constants((replace(TRUTH, products=(plain, packed, replace(fused, fixed_us=500.0))),))
    assert of(H100, FUSED, known=slow).caveats == (estimates.EXCHANGES,)
    assert of(H100, FUSED).caveats == ()


def test_a_card_of_a_measured_architecture_without_this_configuration_is_untested_and_says_which_is_missing():
    others = tuple(each for each in TRUTH.remainders if each.runtime != "graph")
    ada = replace(TRUTH, name="ada", capability="8.9", gpus={"l4": 300.0}, remainders=others)
    found = of(L4, GRAPH, known=Constants((TRUTH, ada)))
    assert found.basis == "untested"
    assert found.caveats == ("no record of this configuration on its architecture; shares as seen on h100, h200",)
    small = tuple(replace(each, parameters=(10_000_000,)) for each in TRUTH.remainders)
    found = of(L4, GRAPH, known=Constants((TRUTH, replace(ada, remainders=small))))
    assert found.caveats == ("no record of a model of this size on its architecture; shares as seen on h100, h200",)


def test_records_of_models_of_another_size_are_no_base_of_an_estimate():
    """Ada has this configuration of a small model alone, from which follows neither a step nor a share."""
    small = tuple(replace(each, parameters=(360_000_000,), gpus=("l4",)) for each in TRUTH.remainders)
    ada = replace(TRUTH, name="ada", capability="8.9", gpus={"l4": 300.0}, remainders=small)
    found = of(L4, GRAPH, known=Constants((TRUTH, ada)))
    assert found.basis == "untested"
    assert found.caveats[0].endswith("shares as seen on h100, h200")


def test_a_step_that_the_host_limits_is_valid_for_such_hosts():
    found = of(H100, EAGER)
    assert found.limit == "host-bound"
    assert found.high_ms == found.step_ms * math.exp(0.5)
    assert found.caveats == (
        "only for a host like the recorded ones (launch probe 4.0 to 5.0 µs)",
        "of it 40 ms for a context length that is new to the process",
    )


def test_no_range_begins_below_the_floor():
    found = of(H100, FUSED)
    assert found.low_ms == pytest.approx(floors.floor_ms(workload(FUSED, QWEN, 2048).streamed_bytes, 3350.0)) or (
        found.low_ms == found.step_ms / math.exp(0.1)
    )
    assert found.low_ms >= found.floor_ms


def test_beyond_the_fitted_contexts_a_range_begins_where_attention_stays():
    short = Constants((replace(TRUTH, paths=tuple(replace(path, ctx=2048) for path in TRUTH.paths)),))
    wide, narrow = of(H100, GRAPH, 16384, short), of(H100, GRAPH, 16384)
    assert (wide.step_ms, wide.high_ms) == (narrow.step_ms, narrow.high_ms)
    # of 58.95 million, an eighth is attended at ctx 2048: 5 µs per million and layer less for the rest
    less_ms = 28 * 5 * workload(GRAPH, QWEN, 16384).attended * 7 / 8 / 1e3
    assert wide.low_ms == pytest.approx((wide.step_ms - less_ms) / math.exp(0.1))
    assert wide.caveats == ("attention was fitted up to ctx 2048",)


def test_an_untested_card_has_the_range_from_the_floor_to_the_smallest_share():
    found = of(L4, GRAPH)
    assert (found.low_ms, found.high_ms) == (FLOOR_L4, FLOOR_L4 / 0.2)
    assert found.step_ms == math.sqrt(FLOOR_L4 * FLOOR_L4 / 0.2)
    assert (found.basis, found.limit) == ("untested", "memory")
    assert found.caveats == ("no record on its architecture; shares as seen on h100, h200",)


def test_the_range_of_an_untested_card_reaches_to_the_host():
    # 1400 kernels of 16 µs: 22.4 ms, and 40.05 ms for read-back and new length; both up to exp(0.5) times
    fast = Card("b200", "10.0", 8000.0)
    found = of(fast, EAGER)
    assert found.high_ms == pytest.approx((22.4 + 40.05) * math.exp(0.5))
    assert found.limit == "host-bound"
    assert of(L4, EAGER).limit == "memory"
    assert of(L4, EAGER).high_ms == pytest.approx(FLOOR_L4 / 0.4 + 40.05 * math.exp(0.5))


def test_the_range_of_a_faster_card_reaches_to_the_steps_of_the_measured_ones():
    fast = Card("b200", "10.0", 30_000.0)
    step = stepmodel.step(TRUTH, GRAPH, workload(GRAPH, QWEN, 2048), 3350.0)
    assert of(fast, GRAPH).floor_ms / 0.2 < step.device_ms
    assert of(fast, GRAPH).high_ms == pytest.approx(step.device_ms * math.exp(0.1))


def test_beyond_the_measured_contexts_a_smaller_share_of_the_model_counts():
    short = Constants((replace(TRUTH, remainders=tuple(replace(each, ctx=2048) for each in TRUTH.remainders)),))
    longer = of(L4, GRAPH, 32000, short)
    shares = [
        floors.floor_ms(workload(GRAPH, QWEN, 32000).streamed_bytes, gbs)
        / stepmodel.step(TRUTH, GRAPH, workload(GRAPH, QWEN, 32000), gbs).device_ms
        for gbs in (3350.0, 4800.0)
    ]
    assert min(shares) < 0.2
    assert longer.high_ms == pytest.approx(longer.floor_ms / min(shares))


def test_a_kernel_that_was_tried_elsewhere_alone_has_the_smallest_share_of_its_format_and_says_so():
    """Its own share is that of code which does not run on this card."""
    found, own = of(L4, FUSED), TRUTH.remainder(FUSED)
    assert own is not None
    assert own.least_share > 0.2 == min(each.least_share for each in TRUTH.remainders if each.quant == "bf16")
    assert found.high_ms == pytest.approx(FLOOR_L4 / 0.2, rel=1e-3)
    assert found.caveats[1:] == ("kernel tried on compute capability 9.0 alone",)


def test_without_held_out_rows_the_range_is_that_of_an_untested_card():
    bare = Constants((replace(TRUTH, spreads=()),))
    found = of(H100, GRAPH, known=bare)
    assert (found.low_ms, found.high_ms) == (found.floor_ms, found.floor_ms / 0.2)
    assert found.caveats == ("too few records for a range of its own",)


def test_a_configuration_that_its_own_architecture_lacks_is_untested():
    ada = replace(TRUTH, name="ada", capability="8.9", gpus={"l4": 300.0}, remainders=TRUTH.remainders[:1])
    assert of(L4, GRAPH, known=Constants((TRUTH, ada))).basis == "untested"
    assert of(L4, EAGER, known=Constants((TRUTH, ada))).basis == "ada: l4"


def test_a_card_without_records_of_a_configuration_says_where_they_are_from():
    gh200 = Card("gh200", "9.0", 4000.0)
    assert of(gh200, GRAPH).caveats == ("measured on h100, h200 alone",)
