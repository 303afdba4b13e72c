"""The gate's independent reference: one cache-free pass over prompt and trace in float32 (float64 for fp32 cells).

It shares only the weights with the decode path, upcast one block of output rows at a time. RMSNorm, rotary embedding,
grouped attention and the gated MLP follow their definitions (Llama, arXiv 2302.13971; RoPE, arXiv 2104.09864; GQA,
arXiv 2305.13245). Attention is a plain softmax over blocks of queries. Tokens also pass in blocks, so that the pass
needs well under 1 GB in addition to the weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from runner.cell.shape import ModelShape
from runner.worker.plainlinear import PlainLinear, plain_linears

TOKEN_BLOCK = 1024
QUERY_BLOCK = 256
ROW_BLOCK = 8192
PACKED_ROW_BLOCK = 512  # dequantising needs several times the block's memory

Weights = Mapping[str, torch.Tensor]


class Reference:
    """Forward pass of a model in arithmetic independent of its modules.

    `weights` maps state-dict names to parameters. `packed` maps names to linear layers with a packed matrix. `dtype` is
    the dtype of the arithmetic.
    """

    def __init__(
        self, weights: Weights, shape: ModelShape, dtype: torch.dtype, packed: Mapping[str, PlainLinear] | None = None
    ) -> None:
        self.weights = weights
        self.packed = packed or {}
        self.shape = shape
        self.dtype = dtype

    def logits(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Returns logits [p, vocab] after tokens[: position + 1], for each of positions [p]. `tokens` is [n]."""
        *_, hidden = self._after_each_layer(tokens)
        final = self._norm("model.norm", hidden[positions])
        head = "model.embed_tokens" if self.shape.tied_embedding else "lm_head"
        return self._linear(head, final)

    def hidden(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Returns the output [layers, p, hidden] of each layer at positions [p]. `tokens` is [n]."""
        return torch.stack([hidden[positions] for hidden in self._after_each_layer(tokens)])

    def _after_each_layer(self, tokens: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yields the hidden states [n, hidden] after each layer. The next layer overwrites them."""
        hidden = self.weights["model.embed_tokens.weight"][tokens].to(self.dtype)
        rotation = rotary_table(self.shape, len(tokens), tokens.device, self.dtype)
        for layer in range(self.shape.layers):
            self._layer(f"model.layers.{layer}", hidden, rotation)
            yield hidden

    def _layer(self, name: str, hidden: torch.Tensor, rotation: torch.Tensor) -> None:
        """Updates hidden [n, hidden] in place, block by block, after computing keys and values of all tokens."""
        keys, values = self._keys_and_values(name, hidden, rotation)
        for block in _blocks(len(hidden), TOKEN_BLOCK):
            hidden[block] += self._attention(name, hidden[block], block.start, rotation[block], keys, values)
            hidden[block] += self._mlp(name, hidden[block])

    def _keys_and_values(
        self, name: str, hidden: torch.Tensor, rotation: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns rotated keys, and values, both [kv_heads, n, head_dim]."""
        size = (self.shape.kv_heads, len(hidden), self.shape.head_dim)
        keys, values = hidden.new_empty(size), hidden.new_empty(size)
        for block in _blocks(len(hidden), TOKEN_BLOCK):
            normed = self._norm(f"{name}.input_layernorm", hidden[block])
            keys[:, block] = rotate(self._heads(f"{name}.self_attn.k_proj", normed), rotation[block])
            values[:, block] = self._heads(f"{name}.self_attn.v_proj", normed)
        return keys, values

    def _attention(
        self,
        name: str,
        hidden: torch.Tensor,
        start: int,
        rotation: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
    ) -> torch.Tensor:
        """Returns causal attention [t, hidden] of the tokens at start, start + 1, ... over all earlier keys."""
        normed = self._norm(f"{name}.input_layernorm", hidden)
        queries = rotate(self._heads(f"{name}.self_attn.q_proj", normed), rotation)
        mixed = torch.empty_like(queries)
        group = self.shape.heads // self.shape.kv_heads
        for kv_head in range(self.shape.kv_heads):
            heads = slice(kv_head * group, (kv_head + 1) * group)
            for block in _blocks(len(hidden), QUERY_BLOCK):
                mixed[heads, block] = causal_mix(
                    queries[heads, block], keys[kv_head], values[kv_head], first=start + block.start
                )
        return self._linear(f"{name}.self_attn.o_proj", mixed.transpose(0, 1).reshape(len(hidden), -1))

    def _mlp(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        normed = self._norm(f"{name}.post_attention_layernorm", hidden)
        gate = self._linear(f"{name}.mlp.gate_proj", normed)
        gate = gate * torch.sigmoid(gate)
        return self._linear(f"{name}.mlp.down_proj", gate.mul_(self._linear(f"{name}.mlp.up_proj", normed)))

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        scale = torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + self.shape.rms_norm_eps)
        return x * scale * self.weights[f"{name}.weight"].to(self.dtype)

    def _heads(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Projects x [t, in] to [heads, t, head_dim]."""
        return self._linear(name, x).view(len(x), -1, self.shape.head_dim).transpose(0, 1)

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Returns x [t, in] · weightᵀ + bias, with the rows of weight [out, in] upcast one block at a time."""
        packed = self.packed.get(name)
        weight = self.weights[f"{name}.weight"] if packed is None else packed
        out = x.new_empty(len(x), weight.shape[0])
        for rows in _blocks(weight.shape[0], ROW_BLOCK if packed is None else PACKED_ROW_BLOCK):
            out[:, rows] = x @ weight[rows].to(self.dtype).T
        bias = self.weights.get(f"{name}.bias")
        return out if bias is None else out + bias.to(self.dtype)


def causal_mix(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, first: int) -> torch.Tensor:
    """Returns attention, softmax(q k^T / sqrt(d)) v, of queries [g, t, d] over keys and values [n, d]: [g, t, d].

    The queries are at positions first, first + 1, ...; each attends to keys up to its own position.
    """
    stop = first + queries.shape[1]
    scores = (queries / math.sqrt(queries.shape[-1])) @ keys[:stop].T
    future = torch.ones(queries.shape[1], queries.shape[1], dtype=torch.bool, device=queries.device).triu(1)
    scores[..., first:].masked_fill_(future, -math.inf)
    scores -= scores.amax(dim=-1, keepdim=True)
    scores.exp_()
    total = scores.sum(dim=-1, keepdim=True)
    return (scores @ values[:stop]) / total


def rotary_frequencies(shape: ModelShape) -> list[float]:
    """Returns radians per position of each of the head_dim / 2 planes, with Llama 3.1's scaling by wavelength."""
    half = shape.head_dim // 2
    plain = [shape.rope_theta ** (-plane / half) for plane in range(half)]
    scaling = shape.rope_scaling
    return plain if scaling is None else [_llama3_frequency(frequency, scaling) for frequency in plain]


def _llama3_frequency(frequency: float, scaling: Mapping[str, Any]) -> float:
    """Returns the scaled frequency, as in the Llama 3.1 model card's reference.

    Low frequencies are divided by `factor`, high ones unchanged, and those between interpolated.
    """
    if scaling["rope_type"] != "llama3":
        raise ValueError(f"the reference does not support rope_type {scaling['rope_type']!r}")
    turns = scaling["original_max_position_embeddings"] * frequency / (2 * math.pi)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    unscaled = min(1.0, max(0.0, (turns - low) / (high - low)))
    return float(unscaled * frequency + (1 - unscaled) * frequency / scaling["factor"])


def rotary_table(shape: ModelShape, count: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Returns cosine and sine of all angles, [count, 2, head_dim / 2], computed in float64."""
    frequencies = torch.tensor(rotary_frequencies(shape), dtype=torch.float64, device=device)
    angles = torch.arange(count, dtype=torch.float64, device=device)[:, None] * frequencies
    return torch.stack((angles.cos(), angles.sin()), dim=1).to(dtype)


def rotate(x: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
    """Rotates x [heads, t, d] by its positions. Plane i consists of dimensions i and i + d/2."""
    cos, sin = rotation[:, 0], rotation[:, 1]
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def _blocks(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def for_model(model: torch.nn.Module, shape: ModelShape, dtype: torch.dtype) -> Reference:
    """Returns the reference for a model's parameters and packed matrices. It calls none of the model's modules."""
    return Reference(dict(model.named_parameters()), shape, dtype, plain_linears(model))
