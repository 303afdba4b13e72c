"""The checkpoint that weights= names, and what a mistyped one is told."""

from __future__ import annotations

import pytest

from runner.errors import (
    BadCheckpoint,
)
from runner.plan.request import Request
from runner.plan.resolve import resolve


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sinthetic", "; did you mean synthetic?"),
        ("enw:W", "; did you mean env:W?"),
        ("Qwen/Qwen2.5-0.5B", "; for a checkpoint on the hub, add it to models.yaml and use weights=hub"),
        ("./here", " (weights is"),
    ],
)
def test_a_folder_that_is_not_there_may_be_a_slip_for_something_else(typed: str, meant: str) -> None:
    with pytest.raises(BadCheckpoint) as refused:
        resolve(Request(model="tiny", weights=typed), ())
    assert f"no such folder{meant}" in str(refused.value)


def test_a_model_without_a_hub_checkpoint() -> None:
    with pytest.raises(BadCheckpoint, match=r"no hub checkpoint of tiny in bf16 \(it has: none\)"):
        resolve(Request(model="tiny", weights="hub"), ())


def test_a_mistyped_word_for_weights() -> None:
    with pytest.raises(BadCheckpoint, match="no such folder; did you mean synthetic"):
        resolve(Request(weights="syntetic"), ())
