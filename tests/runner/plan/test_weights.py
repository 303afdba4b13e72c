"""The checkpoint that weights= names, and what a mistyped one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cell import catalogue
from runner.errors import BadCheckpoint
from runner.plan import weights
from runner.plan.request import Request
from runner.plan.resolve import resolve
from tests.support import checkpoints


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


def test_synthetic_weights_need_no_checkpoint() -> None:
    tiny = catalogue.models()["tiny"]
    for word in ("auto", "synthetic"):
        assert weights.checkpoint_of(Request(weights=word), tiny, "bf16") is None


def test_a_folder_is_named_as_it_was_typed_whatever_is_wrong_in_it(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint) as caught:
        weights.checkpoint_of(Request(weights=str(tmp_path)), catalogue.models()["tiny"], "bf16")
    assert str(caught.value).startswith(f"weights={tmp_path}: no config.json in that folder")
    assert str(caught.value).endswith("(weights is synthetic, hub, a folder or env:NAME)")


def test_the_folder_may_be_in_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", str(checkpoints.write(tmp_path / "tiny")))
    found = weights.checkpoint_of(Request(weights="env:MINE"), catalogue.models()["tiny"], "bf16")
    assert found is not None
    assert found.folder == tmp_path / "tiny"
