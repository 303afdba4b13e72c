"""The tensors of a transformers model that the kernel reads and writes in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PROJECTIONS = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "o_proj"}
MLP = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}


def of_layers(model: Any, cache: Any) -> list[dict[str, torch.Tensor]]:
    """Returns each layer's tensors by their name in `plan::Layer`: matrices, biases, norms, keys and values."""
    return [_of_layer(layer, rows) for layer, rows in zip(model.model.layers, cache.layers, strict=True)]


def _of_layer(layer: Any, rows: Any) -> dict[str, torch.Tensor]:
    attention, mlp = layer.self_attn, layer.mlp
    tensors = {name: getattr(attention, module).weight for name, module in PROJECTIONS.items()}
    tensors |= {name: getattr(mlp, module).weight for name, module in MLP.items()}
    for name in ("query", "key", "value"):
        if (bias := getattr(attention, PROJECTIONS[name]).bias) is not None:
            tensors[f"{name}_bias"] = bias
    tensors["input_norm"] = layer.input_layernorm.weight
    tensors["output_norm"] = layer.post_attention_layernorm.weight
    tensors["keys"], tensors["values"] = rows.keys, rows.values
    return tensors


def of_model(model: Any, positions: int) -> dict[str, torch.Tensor]:
    """Returns embedding, final norm, head, and the angles of positions [0, positions) as float32 tables."""
    cosines, sines = angles(model.model.rotary_emb, positions)
    return {
        "embedding": model.model.embed_tokens.weight,
        "norm": model.model.norm.weight,
        "head": model.lm_head.weight,
        "cosines": cosines,
        "sines": sines,
    }


def angles(rotary: Any, positions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns cosines and sines [positions, head_dim / 2] of transformers' rotary embedding, in float32.

    Its frequencies contain the model's RoPE scaling.
    """
    import torch

    frequencies = rotary.inv_freq.float()
    turns = torch.arange(positions, device=frequencies.device, dtype=torch.float32)[:, None] * frequencies
    return turns.cos() * rotary.attention_scaling, turns.sin() * rotary.attention_scaling
