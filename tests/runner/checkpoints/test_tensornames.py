"""Names of stored tensors become those of the model in transformers: with or without `model.`, tied or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cell.scheme import Part
from runner.checkpoints.tensorfile import Tensor
from runner.checkpoints.tensornames import BUFFERS, EMBEDDING, HEAD, NO_WEIGHTS, PACKED, renamed
from runner.errors import BadCheckpoint

NORM, QUERY = "model.norm.weight", "model.layers.0.self_attn.q_proj.weight"
TIED = {name: Part("BF16", (8,)) for name in (EMBEDDING, NORM, QUERY)}
UNTIED = {**TIED, HEAD: Part("BF16", (8,))}


def stored(*names: str) -> dict[str, Tensor]:
    return {name: Tensor(Path("model.safetensors"), "BF16", (8,)) for name in names}


def origins(names: tuple[str, ...], expected: dict[str, Part]) -> dict[str, str]:
    """Returns the model's name of each tensor → its name in the file."""
    return {name: tensor.name or name for name, tensor in renamed(stored(*names), expected).items()}


def test_the_models_own_names_stay_as_they_are() -> None:
    assert renamed(stored(*UNTIED), UNTIED) == stored(*UNTIED)


@pytest.mark.parametrize("prefix", ["", "model.model."])
def test_a_prefix_that_is_missing_or_doubled_is_corrected(prefix: str) -> None:
    written = {name: prefix + name.removeprefix("model.") for name in TIED}
    assert origins(tuple(written.values()), TIED) == written


def test_a_head_below_the_prefix_is_the_head() -> None:
    assert origins((EMBEDDING, f"model.{HEAD}"), UNTIED) == {EMBEDDING: EMBEDDING, HEAD: f"model.{HEAD}"}


def test_one_tensor_under_two_names_is_refused_by_both() -> None:
    with pytest.raises(BadCheckpoint, match=r"^model\.norm\.weight and norm\.weight are the same tensor: remove one$"):
        renamed(stored(NORM, "norm.weight"), TIED)


def test_only_where_the_head_is_tied_and_alone_it_is_the_embedding() -> None:
    assert origins((HEAD, NORM), TIED) == {EMBEDDING: HEAD, NORM: NORM}
    assert origins((HEAD, EMBEDDING), TIED) == {HEAD: HEAD, EMBEDDING: EMBEDDING}
    assert origins((HEAD, NORM), UNTIED) == {HEAD: HEAD, NORM: NORM}


@pytest.mark.parametrize(
    "name",
    [
        "model.rotary_emb.inv_freq",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.layers.0.self_attn.masked_bias",
        "h.0.attn.bias",
        "position_ids",
        "rope.freqs",
    ],
)
def test_buffers_are_left_out_and_only_they(name: str) -> None:
    assert origins((name, NORM), TIED) == {NORM: NORM}
    assert BUFFERS.search(name)
    assert not BUFFERS.search("model.layers.0.self_attn.q_proj.bias")  # a parameter of Qwen2


def test_a_tensor_that_the_model_lacks_is_kept_for_the_comparison() -> None:
    assert origins((NORM, "score.weight"), TIED) == {NORM: NORM, "score.weight": "score.weight"}


@pytest.mark.parametrize("end", ["qweight", "scales", "g_idx", "weight_packed", "absmax", "nested_quant_map"])
def test_tensors_of_packed_weights_are_known_by_their_names(end: str) -> None:
    assert PACKED.search(f"model.layers.0.mlp.up_proj.{end}")
    assert not PACKED.search("model.layers.0.mlp.up_proj.weight")


def test_the_state_of_a_transformer_engine_is_no_weight() -> None:
    assert NO_WEIGHTS.search("model.layers.0.self_attn.q_proj._extra_state")
    assert not NO_WEIGHTS.search(QUERY)
