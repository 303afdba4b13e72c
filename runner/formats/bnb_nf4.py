"""nf4 (QLoRA, arXiv 2305.14314) as bitsandbytes stores it.

A byte holds two codes along the inputs, the first in the high nibble. A block of 64 weights shares its largest
magnitude. Double quantisation stores that magnitude as an 8-bit code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runner.cell.scheme import Part, Scheme
from runner.declarations import FormatDeclaration
from runner.errors import BadCheckpoint
from runner.formats import _config

if TYPE_CHECKING:
    import torch

DOUBLE = "double-quant"
BLOCK = 64
DECLARATION = FormatDeclaration(
    name="bnb-nf4",
    methods=("bitsandbytes",),
    options={DOUBLE: ("on", "off")},
    may_be=("double_quant",),
    group_sizes=(BLOCK,),
)
NESTED_BLOCK = 256
STATE = "weight.quant_state.bitsandbytes__nf4"
# quantiles of the normal distribution (bitsandbytes functional.get_4bit_type)
NF4 = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)


def scheme(options: Mapping[str, str]) -> Scheme:
    """Returns the scheme of synthetic weights."""
    return Scheme(BLOCK, double_quant=options[DOUBLE] == "on")


def read_config(config: Mapping[str, Any]) -> Scheme:
    """Returns the scheme of a checkpoint's quantization_config.

    Raises BadCheckpoint for a layout that is not supported.
    """
    kind = str(config.get("bnb_4bit_quant_type", "fp4")).lower() if _config.boolean(config, "load_in_4bit") else "int8"
    if kind != "nf4":
        raise BadCheckpoint(f"it holds bitsandbytes {kind}, only nf4 is supported")
    if (storage := config.get("bnb_4bit_quant_storage", "uint8")) != "uint8":
        raise BadCheckpoint(f"its bnb_4bit_quant_storage is {storage}, only uint8 is supported")
    _config.check_uniform(config)
    return Scheme(BLOCK, double_quant=_config.boolean(config, "bnb_4bit_use_double_quant"))


def parts(rows: int, columns: int, scheme: Scheme) -> dict[str, Part]:
    """Returns the tensors that a step needs for a linear layer [rows, columns]."""
    blocks = rows * columns // scheme.group_size
    tensors = {
        "weight": Part("U8", (rows * columns // 2, 1)),
        "weight.absmax": Part("U8" if scheme.double_quant else "F32", (blocks,)),
        "weight.quant_map": Part("F32", (len(NF4),)),
    }
    if scheme.double_quant:
        tensors["weight.nested_absmax"] = Part("F32", (-(-blocks // NESTED_BLOCK),))
        tensors["weight.nested_quant_map"] = Part("F32", (256,))
        tensors["weight.nested_offset"] = Part("F32", ())
    return tensors


def stored(rows: int, columns: int, scheme: Scheme) -> dict[str, Part]:
    """Returns the tensors that a checkpoint stores for a linear layer.

    One of them is JSON text of any length: the quantisation state.
    """
    tensors = {name: part for name, part in parts(rows, columns, scheme).items() if name != "weight.nested_offset"}
    return tensors | {STATE: Part("U8", (-1,))}


def from_stored(tensors: Mapping[str, torch.Tensor], scheme: Scheme) -> dict[str, torch.Tensor]:
    """Returns the tensors that a step needs, from the stored ones.

    Raises BadCheckpoint if the JSON describes another layout.
    """
    import torch

    packed = dict(tensors)
    state = json.loads(bytes(packed.pop(STATE).tolist()))
    expected = {"quant_type": "nf4", "blocksize": scheme.group_size}
    if scheme.double_quant:
        expected["nested_blocksize"] = NESTED_BLOCK
        packed["weight.nested_offset"] = torch.tensor(state["nested_offset"], device=packed["weight"].device)
    for name, value in expected.items():
        if state.get(name) != value:
            raise BadCheckpoint(f"its {name} is {state.get(name)}, expected {value}: use another checkpoint")
    return packed


def quantise(weight: torch.Tensor, scheme: Scheme) -> dict[str, torch.Tensor]:
    """Packs weight [out, in], each value as the nearest code."""
    import torch

    table = torch.tensor(NF4, device=weight.device)
    codes, absmax = _nearest(weight.reshape(-1, scheme.group_size).float(), table)
    pairs = codes.reshape(-1, 2)
    packed = {
        "weight": ((pairs[:, :1] << 4) | pairs[:, 1:]),
        "weight.absmax": absmax,
        "weight.quant_map": table,
    }
    return packed | (_nested(absmax) if scheme.double_quant else {})


def _nearest(blocks: torch.Tensor, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns codes [n, size] uint8 of the nearest values in the sorted table, and largest magnitudes [n].

    `blocks` is [n, size].
    """
    import torch

    absmax = blocks.abs().amax(dim=1)
    scaled = (blocks * (1.0 / absmax.clamp(min=1e-38))[:, None]).clamp_(-1, 1)
    return torch.bucketize(scaled, (table[:-1] + table[1:]) / 2, out_int32=True).to(torch.uint8), absmax


def _nested(absmax: torch.Tensor) -> dict[str, torch.Tensor]:
    """Returns the magnitudes [n] minus their mean, quantised in blocks of 256."""
    import torch

    offset, table = absmax.mean(), torch.tensor(_dynamic_map(), device=absmax.device)
    padded = torch.nn.functional.pad(absmax - offset, (0, -len(absmax) % NESTED_BLOCK))
    codes, nested = _nearest(padded.reshape(-1, NESTED_BLOCK), table)
    return {
        "weight.absmax": codes.reshape(-1)[: len(absmax)],
        "weight.nested_absmax": nested,
        "weight.nested_quant_map": table,
        "weight.nested_offset": offset,
    }


def _dynamic_map() -> list[float]:
    """Returns the values of the signed 8-bit dynamic type (arXiv 1511.04561), sorted.

    It has seven decades. Decade i holds the midpoints of 2^i equal parts of [0.1, 1] · 10^(i − 6), with both signs. The
    values 0 and 1 complete it.
    """
    import torch

    values = [0.0, 1.0]
    for decade in range(7):
        edges = torch.linspace(0.1, 1, 2**decade + 1, dtype=torch.float32)
        midpoints = (10.0 ** (decade - 6) * ((edges[:-1] + edges[1:]) / 2.0)).tolist()
        values += [*midpoints, *(-midpoint for midpoint in midpoints)]
    return sorted(values)


def dequantise(tensors: Mapping[str, torch.Tensor], scheme: Scheme, columns: int, rows: slice) -> torch.Tensor:
    """Returns the rows of the matrix, [rows, in] float32."""
    import torch

    first, last = rows.start * columns, rows.stop * columns
    packed = tensors["weight"].reshape(-1)[first // 2 : last // 2]
    codes = torch.stack((packed >> 4, packed & 15), dim=1).reshape(-1, scheme.group_size)
    absmax = _absmax(tensors, slice(first // scheme.group_size, last // scheme.group_size))
    return (tensors["weight.quant_map"][codes.int()] * absmax[:, None]).reshape(-1, columns)


def _absmax(tensors: Mapping[str, torch.Tensor], blocks: slice) -> torch.Tensor:
    """Returns the largest magnitudes of the blocks, float32."""
    import torch

    stored_absmax = tensors["weight.absmax"]
    if "weight.nested_absmax" not in tensors:
        return stored_absmax[blocks]
    indices = torch.arange(blocks.start, blocks.stop, device=stored_absmax.device)
    values = tensors["weight.nested_quant_map"][stored_absmax[blocks].int()]
    return values * tensors["weight.nested_absmax"][indices // NESTED_BLOCK] + tensors["weight.nested_offset"]
