"""The committed bounds are those that the rule derives, and hold a model that they do not come from."""

import pytest

from runner import registry
from runner.record import bounds, gaterules
from tests import gate_limits


@pytest.fixture(scope="module")
def derived():
    return gate_limits.limits(gate_limits.committed(gate_limits.FROM))


def stated(name, dtype):
    """Ratio and spread that bounds.yaml or a declaration states for a wide model."""
    quant, _, kernel = name.partition("/")
    runtime = name if name in registry.runtime_names() else "graph"
    found = bounds.cell_bounds(dtype, runtime, quant or "bf16", kernel or "cublas", 3584)
    return found["stated_ratio"], found["stated_spread"]


@pytest.mark.slow
def test_the_bounds_are_those_that_the_committed_records_give(derived):
    assert {path: stated(*path) for path in derived} == {
        path: (found.ratio, found.spread) for path, found in derived.items()
    }


@pytest.mark.medium
def test_every_stated_path_has_committed_records(derived):
    assert {*gate_limits.declared()} <= derived.keys()


@pytest.mark.medium
def test_a_model_that_they_do_not_come_from_keeps_within_them(derived):
    tried = gate_limits.limits(gate_limits.committed(gate_limits.TRIED_ON))
    assert len(tried) == 4
    for path, found in tried.items():
        assert found.ratio <= gaterules.limit(derived[path].ratio, derived[path].spread, 64), path


def test_a_limit_is_five_standard_errors_above_the_ratio():
    assert gaterules.limit(1.017, 0.05, 8) == pytest.approx(1.017 * 1.0924, rel=1e-4)  # exp(5 · 0.05 / √8)
    assert gaterules.limit(1.0, 0.1, 1) == pytest.approx(1.6487, rel=1e-4)  # exp(0.5)


def test_rounding_is_upwards():
    checks = [{"name": "short", "errors": [1.0001e-2, 1.0001e-2], "trusted": [1e-2, 1e-2]}]
    cell = {"runtime": "eager", "quant": "bf16", "kernel": "cublas", "dtype": "bf16"}
    found = gate_limits.limits([{"cell": cell, "gate": {"checks": checks}}])
    assert found["", "bf16"] == gate_limits.Limits(1.001, 0.0, 1)


def test_a_cells_bounds_are_those_of_its_dtype_and_its_width():
    """bounds.yaml: from width 2048 on the spread is the dtype's, below it at least 0.11, below 512 at least 0.3."""
    of_dtype = {"dtype_ratio": 1.017, "dtype_spread": 0.05, "stated_ratio": 1.017, "stated_spread": 0.05}
    wide = {"gate_version": 2, "cap": 0.1, "checkpoint_spread": 0.0, "regret_limit": 7, **of_dtype}
    assert bounds.cell_bounds("bf16", "graph", "bf16", "cublas", 2048) == wide
    widths = {511: 0.3, 512: 0.11, 2047: 0.11, 2048: 0.05}
    for width, spread in widths.items():
        found = bounds.cell_bounds("bf16", "eager", "bf16", "torch-cpu", width)
        assert (found["stated_spread"], found["dtype_spread"]) == (spread, spread), width
    assert bounds.cell_bounds("fp32", "eager", "bf16", "cublas", 2048, synthetic=False)["checkpoint_spread"] == 0.75


def test_what_a_runtime_declares_comes_before_what_its_kernel_declares():
    """Kernel exllamav2 states (2.352, 0.063) in fp16, its engine (6.828, 0.032); neither states bf16."""
    declared = {
        runtime: bounds.cell_bounds("fp16", runtime, "gptq", "exllamav2", 3584) for runtime in ("graph", "exllamav2")
    }
    stated = {runtime: (found["stated_ratio"], found["stated_spread"]) for runtime, found in declared.items()}
    assert stated == {"graph": (2.352, 0.063), "exllamav2": (6.828, 0.032)}
    assert {(found["dtype_ratio"], found["dtype_spread"]) for found in declared.values()} == {(1.02, 0.038)}
    assert bounds.cell_bounds("bf16", "exllamav2", "gptq", "exllamav2", 3584)["stated_ratio"] == 1.017


def test_the_noise_of_gate_version_1_is_the_largest_that_dtype_runtime_and_kernel_state():
    noises = {
        (runtime, kernel): bounds.version_1_bounds("fp16", runtime, quant, kernel)["noise"]
        for runtime, quant, kernel in (
            ("graph", "bf16", "cublas"),
            ("graph", "gptq", "exllamav2"),
            ("exllamav2", "gptq", "exllamav2"),
        )
    }
    assert noises == {("graph", "cublas"): 0.002, ("graph", "exllamav2"): 0.03, ("exllamav2", "exllamav2"): 0.04}


def test_the_code_that_bounds_were_derived_under_is_stated_only_where_it_is_known():
    assert bounds.derived_under("gptq", "exllamav2", "fp16").keys() == {"code_key", "ratio", "spread"}
    assert bounds.derived_under("gptq", "exllamav2", "bf16") == {}
    assert bounds.derived_under("bf16", "cublas", "bf16") == {}
