"""`toy-int8`: a byte for each weight, and a scale for each group of inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runner.cell.scheme import Part, Scheme
from runner.declarations import FormatDeclaration

if TYPE_CHECKING:
    import torch

GROUP, LARGEST = 32, 127
DECLARATION = FormatDeclaration(name="toy-int8", methods=("toy",), may_be=("sym",), group_sizes=(GROUP,))


def scheme(options: Mapping[str, str]) -> Scheme:  # noqa: ARG001 (every format takes them)
    """Returns the scheme of synthetic weights."""
    return Scheme(GROUP, sym=True)


def read_config(config: Mapping[str, Any]) -> Scheme:
    """Returns the scheme of a checkpoint's quantization_config."""
    return Scheme(config["group_size"], sym=True)


def parts(rows: int, columns: int, scheme: Scheme) -> dict[str, Part]:
    """Returns the tensors of a linear layer [rows, columns]."""
    return {"codes": Part("I8", (rows, columns)), "scales": Part("F32", (rows, columns // scheme.group_size))}


stored = parts


def from_stored(tensors: Mapping[str, torch.Tensor], scheme: Scheme) -> dict[str, torch.Tensor]:  # noqa: ARG001 (as above)
    """Returns the tensors that a step needs: all that are stored."""
    return dict(tensors)


def quantise(weight: torch.Tensor, scheme: Scheme) -> dict[str, torch.Tensor]:
    """Rounds weight [out, in] to the nearest codes."""
    import torch

    groups = weight.float().reshape(weight.shape[0], -1, scheme.group_size)
    scales = groups.abs().amax(dim=2).clamp(min=1e-8) / LARGEST
    codes = (groups / scales[..., None]).round().to(torch.int8)
    return {"codes": codes.reshape(weight.shape), "scales": scales}


def dequantise(tensors: Mapping[str, torch.Tensor], scheme: Scheme, columns: int, rows: slice) -> torch.Tensor:
    """Returns rows of the matrix, [rows, in] float32."""
    groups = tensors["codes"][rows].float().reshape(-1, columns // scheme.group_size, scheme.group_size)
    return (groups * tensors["scales"][rows][..., None]).reshape(-1, columns)
