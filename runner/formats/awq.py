"""AWQ (arXiv 2306.00978) as AutoAWQ stores it, `version: gemm`: codes packed along the outputs, eight to an int32 in
AWQ's own order. Zero points are stored unchanged, scales in float16."""

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


def scheme(options: Mapping[str, str]) -> Scheme:  # noqa: ARG001 (signature of PackedFormat)
    """Returns the scheme of synthetic weights."""
    return Scheme(128)


def read_config(config: Mapping[str, Any]) -> Scheme:
    """Returns the scheme of a checkpoint's quantization_config.

    Raises BadCheckpoint for a layout that is not supported.
    """
    version = str(config.get("version", config.get("format", "gemm"))).lower()
    if config.get("backend") == LLM_AWQ:  # transformers reads it as the version
        version = LLM_AWQ
    if version != "gemm":
        raise BadCheckpoint(f"its AWQ version is {version}, only gemm is supported")
    if not _config.boolean(config, "zero_point", missing=True):
        raise BadCheckpoint("its zero_point is false, only AWQ with zero points is supported")
    _config.check_uniform(config)
    return _int4.scheme_of(config)


def parts(rows: int, columns: int, scheme: Scheme) -> dict[str, Part]:
    """Returns the tensors that a step needs for a linear layer [rows, columns]."""
    groups, words = columns // scheme.group_size, rows // _int4.PER_WORD
    return {
        "qweight": Part("I32", (columns, words)),
        "qzeros": Part("I32", (groups, words)),
        "scales": Part("F16", (groups, rows)),
    }


stored = parts


def from_stored(tensors: Mapping[str, torch.Tensor], scheme: Scheme) -> dict[str, torch.Tensor]:  # noqa: ARG001 (see `scheme`)
    """Returns all stored tensors: a step needs each."""
    return dict(tensors)


def quantise(weight: torch.Tensor, scheme: Scheme) -> dict[str, torch.Tensor]:
    """Packs weight [out, in], rounded to nearest.

    AWQ also scales channels beforehand, which needs activations. Layout and arithmetic are the same.
    """
    codes, scales, zeros = _int4.quantise(weight, scheme, zeros_from=0)
    return {"qweight": _int4.pack(codes, ORDER), "qzeros": _int4.pack(zeros, ORDER), "scales": scales}


def dequantise(tensors: Mapping[str, torch.Tensor], scheme: Scheme, columns: int, rows: slice) -> torch.Tensor:
    """Returns the rows of the matrix, [rows, in] float32. `rows` starts and stops at multiples of eight."""
    import torch

    words = slice(rows.start // _int4.PER_WORD, rows.stop // _int4.PER_WORD)
    codes = _int4.unpack(tensors["qweight"][:, words], ORDER)
    zeros = _int4.unpack(tensors["qzeros"][:, words], ORDER)
    groups = torch.arange(columns, device=codes.device) // scheme.group_size
    return _int4.dequantise(codes, tensors["scales"][:, rows], zeros, groups)
