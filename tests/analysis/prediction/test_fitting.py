"""The fit gives back the constants that made the rows, and what it cannot tell it does not claim."""

import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.prediction import fitting, observations, stepmodel
from analysis.prediction.constants import Constants, Products
from analysis.prediction.kernelgroups import GroupTimes
from runner.cell import catalogue
from runner.errors import BadRecord
from tests.support.predictions import EAGER, FUSED, GRAPH, MARLIN, TRUTH, observation, on_hosts, rows


@pytest.fixture(scope="module")
def fitted():
    return fitting.fit(rows())


def close(value):
    return pytest.approx(value, rel=1e-3)


@pytest.mark.medium
def test_the_constants_that_made_the_rows_are_found(fitted):
    assert (fitted.name, fitted.capability, fitted.gpus) == ("hopper", "9.0", TRUTH.gpus)
    assert fitted.head_share == close(TRUTH.head_share)
    for configuration in (GRAPH, MARLIN, FUSED):
        found, made = fitted.products_of(configuration), TRUTH.products_of(configuration)
        assert (found.share, found.us_per_mb, found.fixed_us) == close((made.share, made.us_per_mb, made.fixed_us))
    for configuration in (GRAPH, EAGER):
        found, made = fitted.path_of(configuration), TRUTH.path_of(configuration)
        assert found.attention_us == close(made.attention_us)
        assert found.attention_us_per_million == close(made.attention_us_per_million)
        assert (found.gap_us, found.readback_ms, found.new_length_ms) == close(
            (made.gap_us, made.readback_ms, made.new_length_ms)
        )
    for configuration in (GRAPH, EAGER, MARLIN):
        found, made = fitted.remainder(configuration), TRUTH.remainder(configuration)
        assert (found.kernels, found.others_us, found.issue_us) == close((made.kernels, made.others_us, made.issue_us))


@pytest.mark.medium
def test_the_ranges_of_what_was_measured_are_kept(fitted):
    own = fitted.remainder(EAGER)
    assert (own.launch_us, own.ctx, own.gpus, own.least_share) == ((4.5, 4.5), 16384, ("h100", "h200"), 0.4)
    # the layers of Llama-3.1-8B have 32 * (2 * 4096² + 2 * 4096 * 1024 + 3 * 4096 * 14336) parameters
    assert own.parameters[-1] == 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    assert fitted.probe_correlation is None


def test_a_single_context_cannot_tell_what_of_attention_is_fixed():
    path = fitting.fit([observation(GRAPH, model) for model in ("qwen2.5-7b", "llama-3.1-8b")]).path_of(GRAPH)
    assert (path.attention_us, path.ctx) == (0.0, 2048)
    # 10 + 5 * 7.57 µs of Qwen, 10 + 5 * 8.65 of Llama, each over its millions: about 6.2
    assert path.attention_us_per_million == pytest.approx(6.24, abs=0.05)


def test_packed_rows_alone_cannot_be_fitted():
    packed = [observation(MARLIN, "qwen2.5-7b")]
    assert not fitting.is_possible(packed)
    with pytest.raises(BadRecord, match="no record of cublas on h200: measure an unquantised cell there"):
        fitting.fit(packed)


def test_the_fit_is_of_relative_errors():
    """Two hosts, one twice as slow: the geometric mean of both."""
    row = observation(EAGER, "qwen2.5-7b")
    plain = observation(GRAPH, "qwen2.5-7b")
    slow = replace(row, sessions=on_hosts(row, 2.0).sessions, model="mistral-7b")
    found = fitting.fit([plain, row, slow]).remainder(EAGER)
    assert found is not None
    single, double = row.revisit_ms - 0.05, slow.revisit_ms - 0.05
    assert found.issue_us == pytest.approx((single * double) ** 0.5 / row.kernels * 1e3)


def test_the_probe_is_compared_within_a_configuration():
    row = observation(EAGER, "qwen2.5-7b")
    (session,) = row.sessions
    slower = replace(session, session="slower", revisit_ms=session.revisit_ms * 1.5, launch_us=9.0)
    found = fitting.fit([observation(GRAPH, "qwen2.5-7b"), replace(row, sessions=(session, slower))])
    assert found.probe_correlation == pytest.approx(1.0)


def test_clocks_that_cross_leave_no_time_between_them():
    """A pass without read-back that was slower than the one with it, a first visit that was faster than a revisit."""
    eager, graph = observation(EAGER, "qwen2.5-7b"), observation(GRAPH, "qwen2.5-7b")
    (first,) = eager.sessions
    crossed = replace(eager, sessions=(replace(first, wall_ms=first.revisit_ms - 0.1),))
    fitted = fitting.fit([crossed, replace(graph, rate_ms=graph.wall_ms + 0.1)])
    assert fitted.path_of(EAGER).new_length_ms == 0.0
    assert fitted.path_of(GRAPH).readback_ms == 0.0


@pytest.mark.medium
def test_a_small_model_shows_the_least_time_of_a_layer_of_one_kernel():
    """Memory limits the layers of the large models, 470 MB each, so that these do not show it."""
    large = [observation(GRAPH, "qwen2.5-7b"), observation(FUSED, "qwen2.5-7b"), observation(FUSED, "llama-3.1-8b")]
    small = observation(FUSED, "qwen2.5-0.5b")
    head_us = small.work.head_bytes / (0.85 * small.bandwidth_gbs * 1e3)
    exchanging = replace(small, times=GroupTimes(24 * 30.0 + head_us, 0.0, 0.0, 0.0))
    unseen, found = (fitting.fit(rows_).products_of(FUSED) for rows_ in (large, [*large, exchanging]))
    assert (unseen.share, unseen.fixed_us) == (close(0.85), 0.0)
    assert (found.share, found.fixed_us) == (close(0.85), close(30.0))


@pytest.mark.medium
@pytest.mark.parametrize(
    ("gbs", "least_us"),
    [(4800.0, 30.0), (4800.0, 190.0), (2039.0, 30.0), (2039.0, 190.0), (1008.0, 60.0), (300.0, 190.0)],
)
def test_the_least_time_of_a_layer_is_found_on_cards_of_any_bandwidth(gbs, least_us):
    """A layer of the small model takes 119 µs at 0.85 of 300 GB/s, far more than the 15 µs at which the fit starts."""
    rows_ = whole_rows(gbs, least_us, "qwen2.5-7b", "llama-3.1-8b", "qwen2.5-0.5b")
    found = fitting.fit([observation(GRAPH, "qwen2.5-7b"), *rows_]).products_of(FUSED)
    assert (found.share, found.fixed_us) == (close(0.85), close(least_us))


@pytest.mark.medium
def test_scatter_of_large_models_is_no_least_time_of_their_layers():
    rows_ = whole_rows(4800.0, 0.0, "qwen2.5-7b", "llama-3.1-8b")
    scattered = [
        replace(row, times=replace(row.times, products=row.times.products * factor))
        for row, factor in zip(rows_, (1.05, 0.95), strict=True)
    ]
    found = fitting.fit([observation(GRAPH, "qwen2.5-7b"), *scattered]).products_of(FUSED)
    assert (found.share, found.fixed_us) == (pytest.approx(0.85, rel=0.03), 0.0)


def whole_rows(gbs, least_us, *models):
    """Returns rows of the fused step, which reads at 0.85 of the bandwidth and takes a least time for a layer."""
    truth = Products("bf16", "fused", 0.85, 0.0, least_us)
    rows_ = [replace(observation(FUSED, model), bandwidth_gbs=gbs) for model in models]
    return [replace(row, times=GroupTimes(stepmodel.whole_us(row.work, truth, gbs), 0.0, 0.0, 0.0)) for row in rows_]


def test_a_configuration_covers_models_of_the_size_of_its_rows():
    """Only the fused step was measured with the small model."""
    models = catalogue.models()
    between = replace(models["qwen2.5-7b"].shape, layers=7)  # 1.6 billion parameters in its layers
    shapes = [models[name].shape for name in ("qwen2.5-0.5b", "qwen2.5-7b", "tiny")]
    rows_ = [observation(GRAPH, "qwen2.5-7b"), observation(FUSED, "qwen2.5-7b"), observation(FUSED, "qwen2.5-0.5b")]
    known = Constants((fitting.fit(rows_),))
    assert [known.covers(GRAPH, shape) for shape in shapes] == [False, True, False]
    assert [known.covers(FUSED, shape) for shape in shapes] == [True, True, False]
    assert not known.covers(FUSED, between)
    assert [known.covers(GRAPH, replace(between, layers=layers)) for layers in (13, 14, 56, 57)] == [
        *(False, True, True, False)
    ]


@pytest.mark.medium
def test_the_page_says_what_a_share_alone_predicts_of_the_fused_step():
    root = Path(__file__).parents[3]
    found = observations.observed(root / "experiments" / "records").rows
    rows_ = [row for row in found if row.configuration.is_one_kernel]
    share = statistics.geometric_mean(
        row.work.streamed_bytes / row.bandwidth_gbs / 1e3 / row.times.products for row in rows_
    )
    outside = fitting._own_outside(rows_)
    outside_ms = outside.readback_ms + outside.gap_us / 1e3
    errors = [
        (row.work.streamed_bytes / row.bandwidth_gbs / 1e6 / share + outside_ms) / row.wall_ms - 1
        for row in rows_
        if row.model != "qwen2.5-0.5b"
    ]
    page = (root / "docs" / "prediction.md").read_text()
    assert f"are predicted {100 * min(errors):.0f} to {100 * max(errors):.0f} % too" in page
