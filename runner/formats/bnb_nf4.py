"""nf4 (QLoRA, arXiv 2305.14314) as bitsandbytes stores it: two codes to a byte along the inputs, the first in the high
nibble; blocks of 64 weights share their largest magnitude, which double quantisation stores as an 8-bit code."""

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
# quantiles of the normal distribution, as bitsandbytes writes them out (functional.get_4bit_type)
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
    """Of synthetic weights."""
    return Scheme(BLOCK, double_quant=options[DOUBLE] == "on")


def read_config(config: Mapping[str, Any]) -> Scheme:
    """The scheme of a checkpoint's quantization_config. Raises BadCheckpoint for one that is not read."""
    kind = str(config.get("bnb_4bit_quant_type", "fp4")).lower() if _config.truth(config, "load_in_4bit") else "int8"
    if kind != "nf4":
        raise BadCheckpoint(f"it holds bitsandbytes {kind}, only nf4 is read")
    if (storage := config.get("bnb_4bit_quant_storage", "uint8")) != "uint8":
        raise BadCheckpoint(f"its bnb_4bit_quant_storage is {storage}, only uint8 is read")
    _config.check_uniform(config)
    return Scheme(BLOCK, double_quant=_config.truth(config, "bnb_4bit_use_double_quant"))


def parts(rows: int, columns: int, how: Scheme) -> dict[str, Part]:
    """The tensors that a step needs of a linear layer [rows, columns]."""
    blocks = rows * columns // how.group_size
    found = {
        "weight": Part("U8", (rows * columns // 2, 1)),
        "weight.absmax": Part("U8" if how.double_quant else "F32", (blocks,)),
        "weight.quant_map": Part("F32", (len(NF4),)),
    }
    if how.double_quant:
        found["weight.nested_absmax"] = Part("F32", (-(-blocks // NESTED_BLOCK),))
        found["weight.nested_quant_map"] = Part("F32", (256,))
        found["weight.nested_offset"] = Part("F32", ())
    return found


def stored(rows: int, columns: int, how: Scheme) -> dict[str, Part]:
    """The tensors that a checkpoint holds of it; what is not a tensor lies in one as JSON, of any length."""
    found = {name: part for name, part in parts(rows, columns, how).items() if name != "weight.nested_offset"}
    return found | {STATE: Part("U8", (-1,))}


def from_stored(tensors: Mapping[str, torch.Tensor], how: Scheme) -> dict[str, torch.Tensor]:
    """Of the stored tensors those that a step needs. Raises BadCheckpoint where the JSON says another layout."""
    import torch

    found = dict(tensors)
    state = json.loads(bytes(found.pop(STATE).tolist()))
    expected = {"quant_type": "nf4", "blocksize": how.group_size}
    if how.double_quant:
        expected["nested_blocksize"] = NESTED_BLOCK
        found["weight.nested_offset"] = torch.tensor(state["nested_offset"], device=found["weight"].device)
    for name, value in expected.items():
        if state.get(name) != value:
            raise BadCheckpoint(f"its {name} is {state.get(name)}, expected {value}")
    return found


def quantise(weight: torch.Tensor, how: Scheme) -> dict[str, torch.Tensor]:
    """weight [out, in] → its packed tensors, each code the nearest."""
    import torch

    table = torch.tensor(NF4, device=weight.device)
    codes, absmax = _nearest(weight.reshape(-1, how.group_size).float(), table)
    pairs = codes.reshape(-1, 2)
    found = {
        "weight": ((pairs[:, :1] << 4) | pairs[:, 1:]),
        "weight.absmax": absmax,
        "weight.quant_map": table,
    }
    return found | (_nested(absmax) if how.double_quant else {})


def _nearest(blocks: torch.Tensor, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """blocks [n, size] → codes [n, size] uint8 of the nearest value of the sorted table, and largest magnitudes [n]."""
    import torch

    absmax = blocks.abs().amax(dim=1)
    scaled = (blocks * (1.0 / absmax.clamp(min=1e-38))[:, None]).clamp_(-1, 1)
    return torch.bucketize(scaled, (table[:-1] + table[1:]) / 2, out_int32=True).to(torch.uint8), absmax


def _nested(absmax: torch.Tensor) -> dict[str, torch.Tensor]:
    """The magnitudes [n] less their mean, quantised in blocks of 256."""
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
    """The signed 8-bit dynamic type (arXiv 1511.04561): seven decades, in decade i the middles of 2^i equal parts of
    [0.1, 1] · 10^(i − 6), both signs, 0 and 1."""
    import torch

    found = [0.0, 1.0]
    for decade in range(7):
        edges = torch.linspace(0.1, 1, 2**decade + 1, dtype=torch.float32)
        middles = (10.0 ** (decade - 6) * ((edges[:-1] + edges[1:]) / 2.0)).tolist()
        found += [*middles, *(-middle for middle in middles)]
    return sorted(found)


def dequantise(tensors: Mapping[str, torch.Tensor], how: Scheme, columns: int, rows: slice) -> torch.Tensor:
    """The rows of the matrix, [rows, in] float32."""
    import torch

    first, last = rows.start * columns, rows.stop * columns
    packed = tensors["weight"].reshape(-1)[first // 2 : last // 2]
    codes = torch.stack((packed >> 4, packed & 15), dim=1).reshape(-1, how.group_size)
    absmax = _absmax(tensors, slice(first // how.group_size, last // how.group_size))
    return (tensors["weight.quant_map"][codes.int()] * absmax[:, None]).reshape(-1, columns)


def _absmax(tensors: Mapping[str, torch.Tensor], blocks: slice) -> torch.Tensor:
    """The largest magnitudes of the blocks, float32."""
    import torch

    stored_absmax = tensors["weight.absmax"]
    if "weight.nested_absmax" not in tensors:
        return stored_absmax[blocks]
    own = torch.arange(blocks.start, blocks.stop, device=stored_absmax.device)
    values = tensors["weight.nested_quant_map"][stored_absmax[blocks].int()]
    return values * tensors["weight.nested_absmax"][own // NESTED_BLOCK] + tensors["weight.nested_offset"]
