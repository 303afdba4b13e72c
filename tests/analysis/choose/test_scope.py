"""Model, ctx and GPUs of a question."""

from __future__ import annotations

import pytest

from analysis.choose import scope as scopes
from analysis.choose.scope import Scope, most_measured, scope
from runner.cell import catalogue
from runner.errors import BadValue, UnknownName
from runner.plan import cards, resolve


def test_the_defaults_are_those_of_a_cell_on_a_gpu() -> None:
    assert cards.DEFAULT_MODEL["cuda"] == scopes.MODEL
    assert resolve.DEFAULT_CTX["cuda"] == scopes.CTX
    assert scope("auto", "auto", "auto", [], []) == Scope("qwen2.5-7b", 2048, tuple(catalogue.gpus()))


def test_gpus_are_named_with_commas_and_each_counts_once() -> None:
    found = scope("auto", "4096", "l4, h100,l4", [], [])
    assert (found.gpus, found.ctx, found.named) == (("l4", "h100"), 4096, True)
    assert found.has("l4", "qwen2.5-7b", 4096)
    assert not found.has("l4", "qwen2.5-7b", 2048)
    assert not found.has("h200", "qwen2.5-7b", 4096)


def test_a_card_or_model_that_only_a_record_has_is_known() -> None:
    found = scope("my-model", "100000", "my-card", ["my-card"], ["my-model"])
    assert (found.model, found.gpus) == ("my-model", ("my-card",))


@pytest.mark.parametrize(("model", "gpu", "near"), [("auto", "l4,h10", "h100"), ("qwen2.5-7", "auto", "qwen2.5-7b")])
def test_an_unknown_name_gets_the_nearest(model: str, gpu: str, near: str) -> None:
    with pytest.raises(UnknownName, match=f"did you mean {near}"):
        scope(model, "auto", gpu, [], [])


@pytest.mark.parametrize("gpu", ["", ",", "l4,", "l4,,h100", " "])
def test_a_list_of_gpus_has_no_gap(gpu: str) -> None:
    with pytest.raises(BadValue, match=r"--gpu .*: a name is missing"):
        scope("auto", "auto", gpu, [], [])


@pytest.mark.parametrize("ctx", ["0", "-1", "2k", "", "32769"])
def test_a_ctx_is_a_position_of_the_model(ctx: str) -> None:
    with pytest.raises(BadValue, match="--ctx"):
        scope("auto", ctx, "auto", [], [])


def test_the_place_with_the_most_sessions() -> None:
    assert most_measured([("a", 1, 3), ("b", 1, 4), ("a", 1, 2)]) == ("a", 1)
    assert most_measured([]) is None
