"""The shape of a decoder-only model, for the byte accounting and the worker."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from runner.cell.fieldtypes import Positive, Size

CONFIG_NAMES = {
    "model_type": "model_type",
    "hidden_size": "hidden",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "intermediate_size": "intermediate",
    "vocab_size": "vocab",
    "tie_word_embeddings": "tied_embedding",
    "rms_norm_eps": "rms_norm_eps",
    "head_dim": "head_dim",
}
"""A config.json's name of a dimension → the field of `ModelShape`."""


@dataclass(frozen=True)
class ModelShape:
    """Dimensions of a Llama-like model (RMSNorm, RoPE, grouped-query attention, gated MLP) from its config.json. The
    byte accounting follows from them."""

    model_type: str
    """model_type of the model's config.json"""
    layers: Size
    """number of decoder layers"""
    hidden: Size
    """width of the residual stream"""
    heads: Size
    """number of query heads"""
    kv_heads: Size
    """number of key and value heads"""
    head_dim: Size
    """width of one head"""
    intermediate: Size
    """inner width of the gated MLP"""
    vocab: Size
    """number of rows of the embedding"""
    tied_embedding: bool
    """whether the head shares the input embedding"""
    qkv_bias: bool
    """whether the q, k and v projections have a bias"""
    rope_theta: Positive
    """base of the rotary embedding"""
    rope_scaling: dict[str, Any] | None
    """rope_scaling of config.json, unchanged"""
    rms_norm_eps: Positive
    """epsilon of RMSNorm"""
    max_positions: Size
    """largest number of positions"""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ModelShape:
        return cls(**data)

    @property
    def q_width(self) -> int:
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        return self.kv_heads * self.head_dim

    @property
    def embedding_parameters(self) -> int:
        return self.vocab * self.hidden

    @property
    def linear_shapes(self) -> tuple[tuple[int, int], ...]:
        """Returns (out, in) of the seven linear layers of a decoder layer: q, k, v, o, gate, up, down."""
        return (
            (self.q_width, self.hidden),
            (self.kv_width, self.hidden),
            (self.kv_width, self.hidden),
            (self.hidden, self.q_width),
            (self.intermediate, self.hidden),
            (self.intermediate, self.hidden),
            (self.hidden, self.intermediate),
        )

    @property
    def bias_parameters(self) -> int:
        """Returns the number of biases of a decoder layer (q, k and v, if the model has them)."""
        return self.q_width + 2 * self.kv_width if self.qkv_bias else 0

    @property
    def norm_parameters(self) -> int:
        """Returns the number of all RMSNorm weights: two norms per layer and the final one."""
        return (2 * self.layers + 1) * self.hidden
