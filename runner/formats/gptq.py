"""GPTQ (arXiv 2210.17323) as AutoGPTQ (`checkpoint_format: gptq`) and GPTQModel (`format`, too) store it: codes packed
along the inputs, eight to an int32, zero points stored *less one* (a zero of 8 as 7), scales in float16."""

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
CHOSEN = "modules_in_block_to_quantize"
FORM, FORM_FIELDS = "gptq", ("checkpoint_format", "format")


def scheme(options: Mapping[str, str]) -> Scheme:
    """Of synthetic weights."""
    return Scheme(128, sym=options["sym"] == "true")


def read_config(config: Mapping[str, Any]) -> Scheme:
    """The scheme of a checkpoint's quantization_config. Raises BadCheckpoint for one that is not read."""
    for field in FORM_FIELDS:
        if (form := config.get(field) or FORM) != FORM:
            raise BadCheckpoint(f"its {field} is {form}, only {FORM} is read (zero points stored less one)")
    if _config.truth(config, "is_marlin_format"):
        raise BadCheckpoint("its is_marlin_format is true: weights that were repacked for a kernel are not read")
    _check_uniform(config)
    sym, desc_act = _config.truth(config, "sym", missing=True), _config.truth(config, "desc_act")
    return _int4.scheme_of(config, sym=sym, desc_act=desc_act)


def _check_uniform(config: Mapping[str, Any]) -> None:
    """Raises BadCheckpoint where some layers are packed otherwise than others, or the head is packed, too."""
    if config.get("dynamic"):
        raise _config.mixed("its quantization_config is dynamic")
    if _config.truth(config, "lm_head"):
        raise BadCheckpoint("its lm_head is true: a quantised head is not read")
    _config.check_uniform(config)
    chosen = _config.module_names(config, CHOSEN) or LINEARS
    if left := [name for name in LINEARS if name not in chosen]:
        raise _config.mixed(f"its {CHOSEN} leave {listed(left)} in 16 bits")


def config_of(how: Scheme) -> dict[str, Any]:
    """The quantization_config of such weights; the inverse of `read_config`."""
    return {
        "quant_method": "gptq",
        "checkpoint_format": "gptq",
        "bits": _int4.BITS,
        "group_size": how.group_size,
        "sym": how.sym,
        "desc_act": how.desc_act,
    }


def parts(rows: int, columns: int, how: Scheme) -> dict[str, Part]:
    """The tensors that a step needs of a linear layer [rows, columns]; the order of the inputs only where it is not
    the natural one."""
    groups = columns // how.group_size
    found = {
        "qweight": Part("I32", (columns // _int4.PER_WORD, rows)),
        "qzeros": Part("I32", (groups, rows // _int4.PER_WORD)),
        "scales": Part("F16", (groups, rows)),
    }
    return found | ({"g_idx": Part("I32", (columns,))} if how.desc_act else {})


def stored(rows: int, columns: int, how: Scheme) -> dict[str, Part]:
    """The tensors that a checkpoint holds of it."""
    return parts(rows, columns, how) | {"g_idx": Part("I32", (columns,))}


def from_stored(tensors: Mapping[str, torch.Tensor], how: Scheme) -> dict[str, torch.Tensor]:
    """Of the stored tensors those that a step needs. Raises BadCheckpoint where g_idx or the zero points are not what
    the scheme says, and for zero points that packages read differently."""
    import torch

    found = dict(tensors)
    zeros = _int4.unpack(found["qzeros"])
    if (zeros == _int4.LARGEST).any():
        raise BadCheckpoint("a zero point of 0 is stored as 15, which some packages read as 16: quantise it anew")
    if how.sym and (zeros != _int4.MIDDLE - STORED_LESS).any():
        raise BadCheckpoint(
            "sym is true but zero points are not 8, and some packages then read them, some do not: quantise it anew, "
            "or set sym to false in its config.json"
        )
    if not how.desc_act:
        order = found.pop("g_idx")
        if not torch.equal(order, torch.arange(len(order), dtype=order.dtype, device=order.device) // how.group_size):
            raise BadCheckpoint("g_idx is not the natural order, though desc_act is false")
    return found


def to_stored(tensors: Mapping[str, torch.Tensor], how: Scheme, columns: int) -> dict[str, torch.Tensor]:
    """The inverse of `from_stored`."""
    return {**tensors, "g_idx": _groups(tensors, how, columns).int()}


def quantise(weight: torch.Tensor, how: Scheme) -> dict[str, torch.Tensor]:
    """weight [out, in] → its packed tensors, rounded to nearest (what a calibrated quantiser would choose better
    values for; the layout and the arithmetic are the same)."""
    codes, scales, zeros = _int4.quantise(weight, how, zeros_from=STORED_LESS)
    qweight = _int4.pack(codes.T).T.contiguous()
    return {"qweight": qweight, "qzeros": _int4.pack(zeros - STORED_LESS), "scales": scales}


def dequantise(tensors: Mapping[str, torch.Tensor], how: Scheme, columns: int, rows: slice) -> torch.Tensor:
    """The rows (in multiples of eight) of the matrix, [rows, in] float32."""
    words = slice(rows.start // _int4.PER_WORD, rows.stop // _int4.PER_WORD)
    codes = _int4.unpack(tensors["qweight"][:, rows].T).T
    zeros = _int4.unpack(tensors["qzeros"][:, words]) + STORED_LESS
    return _int4.dequantise(codes, tensors["scales"][:, rows], zeros, _groups(tensors, how, columns))


def _groups(tensors: Mapping[str, torch.Tensor], how: Scheme, columns: int) -> torch.Tensor:
    """Which group each input belongs to, [in]."""
    import torch

    if "g_idx" in tensors:
        return tensors["g_idx"].long()
    return torch.arange(columns, device=tensors["qweight"].device) // how.group_size
