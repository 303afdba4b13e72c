"""Requirements of compiled libraries on the machine, read from their bytes without loading them."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

GLIBC = re.compile(rb"\0GLIBC_2\.(\d+)(?=[.\0])")
# every extension calls this torch function; its mangled name contains the std::string ABI
NEW_STRING = b"torchCheckFailEPKcS2_jRKNSt7__cxx1112basic_string"
OLD_STRING = b"torchCheckFailEPKcS2_jRKSs"
# `fatbinary` of CUDA: a header (magic, version, length of the header, length of what follows), then images,
# each with a header (kind, …, its length, length of what follows, …, architecture as in sm_90)
FATBIN_MAGIC = b"\x50\xed\x55\xba"
FATBIN_HEADER = struct.Struct("<4sHHQ")
IMAGE_HEADER = struct.Struct("<HHIQIIHHI")
MACHINE_CODE = 2


@dataclass(frozen=True)
class Needs:
    """The requirements of a library.

    `glibc` is the 36 of 2.36. `cxx11_abi` is None for a library that does not use torch. `capabilities` are the compute
    capabilities of its machine code: ("9.0",).
    """

    glibc: int
    cxx11_abi: bool | None
    capabilities: tuple[str, ...]


def libraries(site: Path) -> list[Path]:
    """Returns the compiled libraries below a folder."""
    return sorted(file for file in site.rglob("*.so*") if file.is_file() and re.search(r"\.so(\.\d+)*$", file.name))


def needs(library: Path) -> Needs:
    """Returns the requirements of one library."""
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
            kind, _, image_header, payload, _, _, _, _, architecture = IMAGE_HEADER.unpack_from(content, image)
            if image_header < IMAGE_HEADER.size:
                break
            if kind == MACHINE_CODE:
                yield f"{architecture // 10}.{architecture % 10}"
            image += image_header + payload
        start = content.find(FATBIN_MAGIC, max(start + 1, min(image, len(content))))


def runs_on(compiled: Iterable[str], capability: str) -> bool:
    """Returns whether code compiled for these capabilities runs on `capability`: one with the same major version, and
    no later minor one."""
    major, minor = _numbers(capability)
    return any(major == numbers[0] and numbers[1] <= minor for numbers in map(_numbers, compiled))


def _numbers(capability: str) -> tuple[int, int]:
    major, minor = capability.split(".")
    return int(major), int(minor)
