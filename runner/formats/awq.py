"""AWQ (arXiv 2306.00978) as AutoAWQ stores it, `version: gemm`: codes packed along the outputs, eight to an int32 in
AWQ's own order, zero points stored as they are, scales in float16."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runner.cell.scheme import Part, Scheme
from runner.declarations import FormatDeclaration
from runner.errors import BadCheckpoint
from runner.formats import _config, _int4

if TYPE_CHECKING:
    import torch

DECLARATION = FormatDeclaration(name="awq", methods=("awq",))
LLM_AWQ = "llm-awq"
ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


def scheme(options: Mapping[str, str]) -> Scheme:  # noqa: ARG001 (all formats are asked alike)
    """Of synthetic weights."""
    return Scheme(128)


def read_config(config: Mapping[str, Any]) -> Scheme:
    """The scheme of a checkpoint's quantization_config. Raises BadCheckpoint for one that is not read."""
    version = str(config.get("version", config.get("format", "gemm"))).lower()
    if config.get("backend") == LLM_AWQ:  # transformers takes that for the version
        version = LLM_AWQ
    if version != "gemm":
        raise BadCheckpoint(f"its AWQ version is {version}, only gemm is read")
    if not _config.truth(config, "zero_point", missing=True):
        raise BadCheckpoint("its zero_point is false, only AWQ with zero points is read")
    _config.check_uniform(config)
    return _int4.scheme_of(config)


def parts(rows: int, columns: int, how: Scheme) -> dict[str, Part]:
    """The tensors that a step needs of a linear layer [rows, columns]."""
    groups, words = columns // how.group_size, rows // _int4.PER_WORD
    return {
        "qweight": Part("I32", (columns, words)),
        "qzeros": Part("I32", (groups, words)),
        "scales": Part("F16", (groups, rows)),
    }


stored = parts


def from_stored(tensors: Mapping[str, torch.Tensor], how: Scheme) -> dict[str, torch.Tensor]:  # noqa: ARG001 (as above)
    """Of the stored tensors those that a step needs: all."""
    return dict(tensors)


def quantise(weight: torch.Tensor, how: Scheme) -> dict[str, torch.Tensor]:
    """weight [out, in] → its packed tensors, rounded to nearest (AWQ scales its channels before, which needs
    activations; the layout and the arithmetic are the same)."""
    codes, scales, zeros = _int4.quantise(weight, how, zeros_from=0)
    return {"qweight": _int4.pack(codes, ORDER), "qzeros": _int4.pack(zeros, ORDER), "scales": scales}


def dequantise(tensors: Mapping[str, torch.Tensor], how: Scheme, columns: int, rows: slice) -> torch.Tensor:
    """The rows (in multiples of eight) of the matrix, [rows, in] float32."""
    import torch

    words = slice(rows.start // _int4.PER_WORD, rows.stop // _int4.PER_WORD)
    codes = _int4.unpack(tensors["qweight"][:, words], ORDER)
    zeros = _int4.unpack(tensors["qzeros"][:, words], ORDER)
    groups = torch.arange(columns, device=codes.device) // how.group_size
    return _int4.dequantise(codes, tensors["scales"][:, rows], zeros, groups)
