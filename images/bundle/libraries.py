"""What compiled libraries need of the machine they are loaded on, read from their bytes: nothing is loaded here."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

GLIBC = re.compile(rb"\0GLIBC_2\.(\d+)(?=[.\0])")
# a function of torch's that every extension calls, whose mangled name says what its std::string is
NEW_STRING = b"torchCheckFailEPKcS2_jRKNSt7__cxx1112basic_string"
OLD_STRING = b"torchCheckFailEPKcS2_jRKSs"
# `fatbinary` of CUDA: a header (magic, version, length of the header, length of what follows), then images, each
# with a header of its own (kind, …, its length, length of what follows, …, architecture as in sm_90)
FATBIN_MAGIC = b"\x50\xed\x55\xba"
FATBIN_HEADER = struct.Struct("<4sHHQ")
IMAGE_HEADER = struct.Struct("<HHIQIIHHI")
MACHINE_CODE = 2


@dataclass(frozen=True)
class Needs:
    """`glibc` is the 36 of 2.36; `cxx11_abi` None for a library that does not use torch; `capabilities` are those that
    it has machine code of: ("9.0",)."""

    glibc: int
    cxx11_abi: bool | None
    capabilities: tuple[str, ...]


def libraries(site: Path) -> list[Path]:
    """The compiled libraries below a folder."""
    return sorted(file for file in site.rglob("*.so*") if file.is_file() and re.search(r"\.so(\.\d+)*$", file.name))


def needs(library: Path) -> Needs:
    """Of one library."""
    content = library.read_bytes()
    glibc = max((int(minor) for minor in GLIBC.findall(content)), default=0)
    abi = True if NEW_STRING in content else False if OLD_STRING in content else None
    return Needs(glibc, abi, tuple(sorted(set(_capabilities(content)))))


def _capabilities(content: bytes) -> Iterator[str]:
    start = content.find(FATBIN_MAGIC)
    while start >= 0 and start + FATBIN_HEADER.size <= len(content):
        _, _, header, length = FATBIN_HEADER.unpack_from(content, start)
        end = min(start + header + length, len(content) - IMAGE_HEADER.size)
        image = start + header
        while image < end:
            kind, _, own, payload, _, _, _, _, architecture = IMAGE_HEADER.unpack_from(content, image)
            if own < IMAGE_HEADER.size:
                break
            if kind == MACHINE_CODE:
                yield f"{architecture // 10}.{architecture % 10}"
            image += own + payload
        start = content.find(FATBIN_MAGIC, max(start + 1, min(image, len(content))))


def runs_on(compiled: Iterable[str], capability: str) -> bool:
    """Machine code runs on its own capability and on later ones of the same major version."""
    major, minor = _numbers(capability)
    return any(major == of[0] and of[1] <= minor for of in map(_numbers, compiled))


def _numbers(capability: str) -> tuple[int, int]:
    major, minor = capability.split(".")
    return int(major), int(minor)
