"""GPTQ (arXiv 2210.17323) as AutoGPTQ (`checkpoint_format: gptq`) and GPTQModel (also `format: gptq`) store it.

Codes are packed along the inputs, eight to an int32. Zero points are stored *minus one* (a zero of 8 as 7), scales in
float16.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runner.cell.scheme import Part, Scheme
from runner.checkpoints.weightfiles import LINEARS, listed
from runner.declarations import FormatDeclaration
from runner.errors import BadCheckpoint
from runner.formats import _config, _int4

if TYPE_CHECKING:
    import torch

DECLARATION = FormatDeclaration(
    name="gptq", methods=("gptq",), options={"sym": ("true", "false")}, may_be=("sym", "desc_act")
)
STORED_LESS = 1
QUANTISED_LIST = "modules_in_block_to_quantize"
FORM, FORM_FIELDS = "gptq", ("checkpoint_format", "format")


def scheme(options: Mapping[str, str]) -> Scheme:
    """Returns the scheme of synthetic weights."""
    return Scheme(128, sym=options["sym"] == "true")


def read_config(config: Mapping[str, Any]) -> Scheme:
    """Returns the scheme of a checkpoint's quantization_config.

    Raises BadCheckpoint for a layout that is not supported.
    """
    for field in FORM_FIELDS:
        if (form := config.get(field) or FORM) != FORM:
            raise BadCheckpoint(f"its {field} is {form}, only {FORM} is supported (zero points stored minus one)")
    if _config.boolean(config, "is_marlin_format"):
        raise BadCheckpoint("its is_marlin_format is true: weights that were repacked for a kernel are not supported")
    _check_uniform(config)
    sym, desc_act = _config.boolean(config, "sym", missing=True), _config.boolean(config, "desc_act")
    return _int4.scheme_of(config, sym=sym, desc_act=desc_act)


def _check_uniform(config: Mapping[str, Any]) -> None:
    """Raises BadCheckpoint if the layers are packed in different ways, or the head is packed."""
    if config.get("dynamic"):
        raise _config.mixed_layers("its quantization_config is dynamic")
    if _config.boolean(config, "lm_head"):
        raise BadCheckpoint("its lm_head is true: take a checkpoint whose head is in 16 bits")
    _config.check_uniform(config)
    quantised = _config.module_names(config, QUANTISED_LIST) or LINEARS
    if unquantised := [name for name in LINEARS if name not in quantised]:
        raise _config.mixed_layers(f"its {QUANTISED_LIST} leave {listed(unquantised)} in 16 bits")


def config_of(scheme: Scheme) -> dict[str, Any]:
    """Returns the quantization_config of a scheme: the inverse of `read_config`."""
    return {
        "quant_method": "gptq",
        "checkpoint_format": "gptq",
        "bits": _int4.BITS,
        "group_size": scheme.group_size,
        "sym": scheme.sym,
        "desc_act": scheme.desc_act,
    }


def parts(rows: int, columns: int, scheme: Scheme) -> dict[str, Part]:
    """Returns the tensors that a step needs for a linear layer [rows, columns].

    `g_idx`, the group of each input, is one of them only if `desc_act` is true.
    """
    groups = columns // scheme.group_size
    tensors = {
        "qweight": Part("I32", (columns // _int4.PER_WORD, rows)),
        "qzeros": Part("I32", (groups, rows // _int4.PER_WORD)),
        "scales": Part("F16", (groups, rows)),
    }
    return tensors | ({"g_idx": Part("I32", (columns,))} if scheme.desc_act else {})


def stored(rows: int, columns: int, scheme: Scheme) -> dict[str, Part]:
    """Returns the tensors that a checkpoint stores for a linear layer."""
    return parts(rows, columns, scheme) | {"g_idx": Part("I32", (columns,))}


def from_stored(tensors: Mapping[str, torch.Tensor], scheme: Scheme) -> dict[str, torch.Tensor]:
    """Returns the tensors that a step needs, from the stored ones.

    Raises BadCheckpoint if g_idx or the zero points contradict the scheme, and for zero points that packages interpret
    differently.
    """
    import torch

    packed = dict(tensors)
    zeros = _int4.unpack(packed["qzeros"])
    if (zeros == _int4.LARGEST).any():
        raise BadCheckpoint("a zero point of 0 is stored as 15, which some packages read as 16: quantise it again")
    if scheme.sym and (zeros != _int4.MIDDLE - STORED_LESS).any():
        raise BadCheckpoint(
            "sym is true but zero points are not 8: some packages apply them, some ignore them. Quantise it again, "
            "or set sym to false in its config.json"
        )
    if not scheme.desc_act:
        order = packed.pop("g_idx")
        inputs = torch.arange(len(order), dtype=order.dtype, device=order.device)
        if not torch.equal(order, inputs // scheme.group_size):
            raise BadCheckpoint(
                "g_idx is not the natural order, though desc_act is false: set desc_act to true in its config.json, "
                "or use another checkpoint"
            )
    return packed


def to_stored(tensors: Mapping[str, torch.Tensor], scheme: Scheme, columns: int) -> dict[str, torch.Tensor]:
    """Returns the tensors that a checkpoint stores: the inverse of `from_stored`."""
    return {**tensors, "g_idx": _groups(tensors, scheme, columns).int()}


def quantise(weight: torch.Tensor, scheme: Scheme) -> dict[str, torch.Tensor]:
    """Packs weight [out, in], rounded to nearest.

    A calibrated quantiser would choose better values. Layout and arithmetic are the same.
    """
    codes, scales, zeros = _int4.quantise(weight, scheme, zeros_from=STORED_LESS)
    qweight = _int4.pack(codes.T).T.contiguous()
    return {"qweight": qweight, "qzeros": _int4.pack(zeros - STORED_LESS), "scales": scales}


def dequantise(tensors: Mapping[str, torch.Tensor], scheme: Scheme, columns: int, rows: slice) -> torch.Tensor:
    """Returns the rows of the matrix, [rows, in] float32. `rows` starts and stops at multiples of eight."""
    words = slice(rows.start // _int4.PER_WORD, rows.stop // _int4.PER_WORD)
    codes = _int4.unpack(tensors["qweight"][:, rows].T).T
    zeros = _int4.unpack(tensors["qzeros"][:, words]) + STORED_LESS
    return _int4.dequantise(codes, tensors["scales"][:, rows], zeros, _groups(tensors, scheme, columns))


def _groups(tensors: Mapping[str, torch.Tensor], scheme: Scheme, columns: int) -> torch.Tensor:
    """Returns the group of each input, [in]."""
    import torch

    if "g_idx" in tensors:
        return tensors["g_idx"].long()
    return torch.arange(columns, device=tensors["qweight"].device) // scheme.group_size
