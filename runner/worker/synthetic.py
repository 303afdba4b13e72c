"""`synthetic-v1` weights: the exact shapes, made on the device, with values to which the correctness gate is sensitive.

Latency does not depend on the values; the gate does. So every layer is distinct, norms are 1 + 0.3·N(0,1), biases N(0,
0.5), and attention is peaked. Each query head is correlated with its key head, from not at all to strongly over the
heads of a layer. At every context some heads then weigh the newest row and others a few distant rows. A dropped row, a
rotated position or a swapped head changes the logits by far more than rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

NORM_SPREAD = 0.3
BIAS_STD = 0.5
SCORE_STD = 2.5  # standard deviation of q·k/sqrt(head_dim) between unrelated positions
STRONGEST_CORRELATION = 0.6


def fill(parameters: Mapping[str, torch.Tensor], head_dim: int, generator: torch.Generator) -> None:
    """Overwrites parameters of a Llama-like transformers model in place.

    A call covers all parameters, or a block of them in the model's order, with q and k of a layer in the same call. The
    same seed gives the same values on the same kind of device.
    """
    with torch.no_grad():
        for name, parameter in parameters.items():
            _fill_parameter(name, parameter, generator)
        for name in parameters:
            if name.endswith("q_proj.weight"):
                _peak_attention(parameters[name], parameters[name.replace("q_proj", "k_proj")], head_dim)


def _fill_parameter(name: str, parameter: torch.Tensor, generator: torch.Generator) -> None:
    if parameter.ndim == 1 and name.endswith("bias"):
        parameter.normal_(0.0, BIAS_STD, generator=generator)
    elif parameter.ndim == 1:
        parameter.normal_(1.0, NORM_SPREAD, generator=generator)
    elif "embed" in name:
        parameter.normal_(0.0, 1.0, generator=generator)
    else:
        parameter.normal_(0.0, 1.0 / math.sqrt(parameter.shape[1]), generator=generator)


def _peak_attention(query: torch.Tensor, key: torch.Tensor, head_dim: int) -> None:
    """Scales q [heads·d, in] and k [kv_heads·d, in] to scores of std SCORE_STD, and correlates each head pair."""
    heads, kv_heads = query.shape[0] // head_dim, key.shape[0] // head_dim
    scale = math.sqrt(SCORE_STD)
    key.mul_(scale)
    for head in range(heads):
        correlation = STRONGEST_CORRELATION * head / max(1, heads - 1)
        kv_head = head * kv_heads // heads
        query_head = query[head * head_dim : (head + 1) * head_dim]
        key_head = key[kv_head * head_dim : (kv_head + 1) * head_dim]
        query_head.mul_(scale * math.sqrt(1 - correlation**2)).add_(key_head, alpha=correlation)
