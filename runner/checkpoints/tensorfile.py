"""A safetensors file: its header names every tensor with its dtype, shape and place, and is checked without torch."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.checkpoints import impostors
from runner.errors import BadCheckpoint
from runner.files import jsontext

METADATA = "__metadata__"
_DTYPES_OF = {
    4: ("F4",),
    6: ("F6_E2M3", "F6_E3M2"),
    8: ("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"),
    16: ("I16", "U16", "F16", "BF16"),
    32: ("I32", "U32", "F32"),
    64: ("C64", "F64", "I64", "U64"),
}
DTYPE_BITS = {name: bits for bits, names in _DTYPES_OF.items() for name in names}
"""The names of the safetensors library, and how many bits a value has."""
TOO_LARGE = 2**64
"""Sizes, and the products of a shape, are below this in the safetensors library."""
HEADER_LIMIT_BYTES = 100_000_000  # the limit of the safetensors library


@dataclass(frozen=True)
class Tensor:
    """A tensor of a checkpoint: its file, its safetensors dtype and its shape.

    `name` is its name in the file, None if the model uses the same name.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]
    name: str | None = None


def read_header(file: Path) -> bytes:
    """Returns the JSON header of a safetensors file: after 8 bytes of little-endian length, that many bytes.

    Raises BadCheckpoint if the file is shorter than its header.
    """
    size = file.stat().st_size
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > min(HEADER_LIMIT_BYTES, size - 8):
            damaged = f"{file.name} is truncated or not safetensors ({size} bytes): fetch it again"
            raise BadCheckpoint(impostors.description(file) or damaged)
        return opened.read(length)


def tensors_of(file: Path) -> dict[str, Tensor]:
    """Returns the tensors of a file by name. Raises BadCheckpoint if it is damaged, truncated or longer than they are.

    Its checks are those of the safetensors library, so that no file is accepted here and refused when it is loaded.
    """
    header = read_header(file)
    tensors, spans = {}, list[tuple[int, int]]()
    try:
        entries = dict(jsontext.loads(header, parse_int=_whole_number).items())
        _check_metadata(entries.pop(METADATA, {}))
        for name, entry in entries.items():
            tensors[name] = Tensor(file, _dtype(name, entry), _whole_numbers(entry, "shape"))
            begin, end = _whole_numbers(entry, "data_offsets")
            spans.append((begin, end))
            _check_span(name, tensors[name], end - begin)
        _check_places(spans)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        damaged = f"{file.name}: its header is damaged ({error}): fetch it again"
        raise BadCheckpoint(impostors.description(file) or damaged) from error
    size, expected = file.stat().st_size, 8 + len(header) + max((end for _, end in spans), default=0)
    if size != expected:
        fault = "truncated" if size < expected else "longer than its tensors"
        raise BadCheckpoint(f"{file.name} is {fault}: {size} bytes, its header says {expected}: fetch it again")
    return tensors


def _check_metadata(metadata: Any) -> None:
    """Raises ValueError unless these are texts by name, or null."""
    if metadata is not None and not all(isinstance(value, str) for value in dict(metadata.items()).values()):
        raise ValueError(f"{METADATA} has a value that is no text")


def _dtype(name: str, entry: Mapping[str, Any]) -> str:
    """Returns the dtype of a header's entry. Raises ValueError if it is no dtype of the safetensors library."""
    if entry["dtype"] not in DTYPE_BITS:
        raise ValueError(f"{name} has the unknown dtype {entry['dtype']!r}")
    return str(entry["dtype"])


def _whole_number(text: str) -> int:
    """Returns a whole number of a header. Raises ValueError for -0, which is a fraction to the safetensors library."""
    if text == "-0":
        raise ValueError("-0 is no size")
    return int(text)


def _whole_numbers(entry: Mapping[str, Any], field: str) -> tuple[int, ...]:
    """Returns a list of a header's entry. Raises ValueError unless all are sizes: JSON reads 1e999 as infinity."""
    numbers = entry[field]
    if not isinstance(numbers, list) or not all(type(number) is int and 0 <= number < TOO_LARGE for number in numbers):
        raise ValueError(f"{field} is no list of sizes")
    return tuple(numbers)


def _check_span(name: str, tensor: Tensor, span: int) -> None:
    """Raises ValueError unless the tensor's place has the size of its values."""
    *products, count = itertools.accumulate((1, *tensor.shape), operator.mul)
    bits = count * DTYPE_BITS[tensor.dtype]
    if max(*products, count, bits) >= TOO_LARGE or span * 8 != bits:
        raise ValueError(f"{name} has {span} bytes for {[*tensor.shape]} of {tensor.dtype}")


def _check_places(spans: Iterable[tuple[int, int]]) -> None:
    """Raises ValueError unless each tensor begins where another ends, as the safetensors library demands."""
    last = 0
    for begin, end in sorted(spans):
        if begin != last:
            raise ValueError(f"a tensor begins at byte {begin}, but the one before it ends at {last}")
        last = end
