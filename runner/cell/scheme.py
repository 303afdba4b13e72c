"""The packing of the linear layers' weights, in the words of a checkpoint's quantization_config."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from runner.cell.fieldtypes import IN_RANGE, Limit
from runner.cell.shape import ModelShape

_BYTES_OF = {
    1: ("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"),
    2: ("U16", "I16", "F16", "BF16"),
    4: ("U32", "I32", "F32"),
    8: ("U64", "I64", "F64"),
}
DTYPE_BYTES = {name: count for count, names in _BYTES_OF.items() for name in names}  # safetensors' names


@dataclass(frozen=True)
class Scheme:
    """The packing of the linear layers' weights; absent if they are not quantised."""

    group_size: Annotated[int, IN_RANGE, Limit("minimum", "ge", 8)]
    """number of weights of a row that share a scale"""
    sym: bool = False
    """whether the zero point of every group is the middle of the range"""
    desc_act: bool = False
    """whether the inputs were quantised in the order of their activations; then `g_idx` has the group of each input"""
    double_quant: bool = False
    """whether the scales are quantised, too"""

    def first_undivided_inputs(self, shape: ModelShape) -> int | None:
        """Returns the input count of the first layer that does not divide into whole groups; None if all do."""
        return next((inputs for _, inputs in shape.linear_shapes if inputs % self.group_size), None)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Scheme:
        return cls(**data)


@dataclass(frozen=True)
class Part:
    """A tensor of a packed linear layer: its safetensors dtype and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * DTYPE_BYTES[self.dtype]
