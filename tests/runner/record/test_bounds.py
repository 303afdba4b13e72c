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


def test_every_stated_path_has_committed_records(derived):
    assert {*gate_limits.declared()} <= derived.keys()


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
