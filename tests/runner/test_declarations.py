"""The declarations of formats and runtimes: which schemes a format can have, and how a runtime's steps are launched."""

from __future__ import annotations

import pytest

from runner import registry
from runner.cell import catalogue
from runner.cell.scheme import Scheme
from runner.declarations import FormatDeclaration, RuntimeDeclaration

FORMAT = FormatDeclaration("toy", may_be=("sym",), group_sizes=(32, 64))


@pytest.mark.parametrize(
    ("scheme", "why"),
    [
        (Scheme(32), None),
        (Scheme(64, sym=True), None),
        (Scheme(128), "toy has groups of 32, 64, not of 128"),
        (Scheme(32, desc_act=True), "toy is never desc_act"),
        (Scheme(32, sym=True, desc_act=True, double_quant=True), "toy is never desc_act, double_quant"),
    ],
)
def test_a_format_says_which_scheme_it_never_has(scheme: Scheme, why: str | None) -> None:
    assert FORMAT.refuses(scheme) == why


def test_a_format_without_declared_sizes_takes_any_group() -> None:
    assert FormatDeclaration("any").refuses(Scheme(24)) is None


def test_a_cells_mode_may_change_how_its_steps_are_launched() -> None:
    modes = {"default": "none", "reduce-overhead": "partial"}
    runtime = RuntimeDeclaration("toy", ("cuda",), ("static",), ("sdpa",), "whole-step", 8, graph_modes=modes)
    assert runtime.graph_mode_with({"mode": "reduce-overhead"}) == "partial"
    assert runtime.graph_mode_with({"mode": "another"}) == "whole-step"
    assert runtime.graph_mode_with({}) == "whole-step"


def test_a_step_without_fusion_multiplies_once_by_each_matrix() -> None:
    # tiny: 2 layers of q, k, v, o, gate, up and down
    assert registry.runtime("eager").DECLARATION.products(catalogue.models()["tiny"].shape) == 2 * 7
