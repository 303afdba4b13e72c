"""The cubin of the fused kernel, and the sections and symbols of one, which is an ELF file of 64 bits."""

from __future__ import annotations

import struct
from functools import cache
from typing import NamedTuple

from runner.fused import compiled, geometry
from tests.support.fusedshapes import H200, of_catalogue

SYMBOL_BYTES, OBJECT = 24, 1


class Section(NamedTuple):
    name: str
    content: bytes


@cache
def product() -> bytes:
    """Returns the cubin of the smallest shape on Hopper, compiled once in a process."""
    return compiled.compile_step(geometry.choose(of_catalogue()["tiny"], H200), "sm_90a").code


def machine_code(cubin: bytes) -> bytes:
    """Returns the kernel's instructions."""
    return _section(cubin, ".text.decode_step")


def variables(cubin: bytes) -> set[str]:
    """Returns the names of the global variables."""
    symbols, names = _section(cubin, ".symtab"), _section(cubin, ".strtab")
    entries = [struct.unpack_from("<IB", symbols, at) for at in range(0, len(symbols), SYMBOL_BYTES)]
    return {_string(names, name) for name, info in entries if info & 15 == OBJECT}


def _section(cubin: bytes, name: str) -> bytes:
    return next(section.content for section in _sections(cubin) if section.name == name)


def _sections(cubin: bytes) -> list[Section]:
    (table,) = struct.unpack_from("<Q", cubin, 0x28)
    size, count, names_at = struct.unpack_from("<HHH", cubin, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", cubin, table + size * i) for i in range(count)]
    names = cubin[headers[names_at][4] :]
    return [Section(_string(names, name), cubin[at : at + length]) for name, _, _, _, at, length in headers]


def _string(strings: bytes, start: int) -> str:
    return strings[start : strings.index(b"\0", start)].decode()
