"""The shape of a decoder-only model: what the byte accounting and the worker need to know of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ModelShape:
    """Dimensions of a Llama-like model (RMSNorm, RoPE, grouped-query attention, gated MLP), as in its config.json."""

    model_type: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied_embedding: bool
    qkv_bias: bool
    rope_theta: float
    rope_scaling: dict[str, Any] | None
    rms_norm_eps: float
    max_positions: int

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
        """(out, in) of the seven linear layers of one decoder layer: q, k, v, o, gate, up, down."""
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
        """Biases of one decoder layer (q, k and v where the model has them)."""
        return self.q_width + 2 * self.kv_width if self.qkv_bias else 0

    @property
    def norm_parameters(self) -> int:
        """All RMSNorm weights: two a layer and the final one."""
        return (2 * self.layers + 1) * self.hidden
