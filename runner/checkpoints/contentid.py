"""The weights_id of a folder: a hash of the files' headers and sizes and of three pieces of every tensor.

A full hash of 16 GB would take minutes. Two fine-tunes of one layout differ in the pieces. An edit outside the pieces
is not detected.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from runner.cell.cell import short_hash
from runner.cell.scheme import Scheme
from runner.checkpoints import readable, tensorfile
from runner.files import jsontext

PREFIX = "content-"
ID_LENGTH = 16
PIECE_BYTES = 4096


def weights_id(files: tuple[Path, ...], name: str, scheme: Scheme | None) -> str:
    """Returns the weights_id of checked safetensors files, which does not depend on their path.

    `scheme` is part of it, because a header does not contain `sym` and `desc_act`, which select kernels. Raises
    BadCheckpoint, which calls the checkpoint `name`, if a file cannot be read.
    """
    with readable.checked(name):
        content = [_content(file) for file in files]
    return PREFIX + short_hash([content, scheme and scheme.to_json()], ID_LENGTH)


def _content(file: Path) -> list[str | int]:
    header = tensorfile.read_header(file)
    start = 8 + len(header)
    pieces = hashlib.sha256()
    with open(file, "rb") as opened:
        for begin, end in _spans(header):
            for offset, size in _pieces(begin, end):
                pieces.update(os.pread(opened.fileno(), size, start + offset))
    return [file.stat().st_size, hashlib.sha256(header).hexdigest(), pieces.hexdigest()]


def _spans(header: bytes) -> Iterator[tuple[int, int]]:
    """Yields begin and end of each tensor after the header, in file order for sequential reads."""
    entries = {name: entry for name, entry in jsontext.loads(header).items() if name != "__metadata__"}
    yield from sorted((int(begin), int(end)) for begin, end in (entry["data_offsets"] for entry in entries.values()))


def _pieces(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yields offset and size of the first, middle and last 4 KiB of a tensor. In a small tensor they overlap."""
    size = min(PIECE_BYTES, end - begin)
    for offset in (begin, begin + (end - begin - size) // 2, end - size):
        yield offset, size
