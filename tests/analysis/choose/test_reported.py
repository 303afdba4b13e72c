"""Candidates of the paper."""

from __future__ import annotations

import pytest

from analysis import paper
from analysis.choose import reported
from analysis.choose.scope import Scope
from runner.cell import catalogue


def of(ctx: int = 2048, **prices: float) -> dict[tuple[str, str, str], float]:
    scope = Scope("qwen2.5-7b", ctx, tuple(catalogue.gpus()))
    found = [(each.configuration, each) for each in reported.candidates(scope, 1, prices)]
    return {(named.gpu, named.quant, named.runtime): each.step_ms for named, each in found}


def test_the_papers_steps_are_candidates() -> None:
    found = of()
    assert found["l4", "gptq", ""] == 17.36
    assert (found["h100", "bf16", "eager"], found["h100", "bf16", "graph"]) == (14.828, 11.776)


def test_an_r_floor_counts_only_where_no_unquantised_step_is_stated() -> None:
    found = of()
    assert found["l4", "bf16", ""] == 62.32
    assert ("l4", "bf16", "eager") not in found
    (figure,) = [row for row in paper.floor_rows() if row.spot == ("a100", "qwen2.5-7b", 2048)]
    assert found["a100", "bf16", "eager"] == paper.implied_ms(figure)
    assert set(of(8192)) == {("h100", "bf16", "eager"), ("a100", "bf16", "eager"), ("l40s", "bf16", "eager")}


def test_costs_follow_from_the_step_and_memory_from_its_bytes() -> None:
    scope = Scope("qwen2.5-7b", 2048, ("l4",))
    gptq = next(each for each in reported.candidates(scope, 8, {"l4": 3.6}) if each.configuration.quant == "gptq")
    assert gptq.usd_per_mtok == pytest.approx(17.36)
    assert gptq.chunk_ms == 8 * 17.36
    # 24 GB without 5.6 GB of weights, and 2048 tokens of 57344 bytes
    assert gptq.memory_left_bytes == pytest.approx(18.3e9, rel=0.01)
