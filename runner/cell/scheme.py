"""How the linear layers' weights are packed: what a checkpoint's quantization_config says, in its words."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from runner.cell.shape import ModelShape

DTYPE_BYTES = {"U8": 1, "I8": 1, "I32": 4, "F16": 2, "BF16": 2, "F32": 4, "F64": 8}  # safetensors' names


@dataclass(frozen=True)
class Scheme:
    """`group_size` weights of a row share a scale. `sym`: the zero point is the middle of the range, for all groups;
    `desc_act`: rows were quantised in the order of their activations, and `g_idx` says which group each belongs to;
    `double_quant`: the scales are quantised, too."""

    group_size: int
    sym: bool = False
    desc_act: bool = False
    double_quant: bool = False

    def undivided(self, shape: ModelShape) -> int | None:
        """How many inputs some layer has that are no whole number of groups; None where all are."""
        return next((inputs for _, inputs in shape.linear_shapes if inputs % self.group_size), None)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Scheme:
        return cls(**data)


@dataclass(frozen=True)
class Part:
    """One tensor of a packed linear layer: safetensors' dtype, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * DTYPE_BYTES[self.dtype]
