"""The id of a folder's weights follows from their content as far as it is read, never from the place."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from runner.cell.scheme import Scheme
from runner.checkpoints import contentid
from runner.errors import BadCheckpoint

ROWS, COLUMNS = 64, 256  # of float32: 64 KiB


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small tensor and a large one; 8 bytes, the header, and 32 bytes before the large one."""
    entries = {
        "large": {"dtype": "F32", "shape": [ROWS, COLUMNS], "data_offsets": [32, 32 + 4 * ROWS * COLUMNS]},
        "small": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]},
    }
    header = json.dumps(entries).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(32 + 4 * ROWS * COLUMNS))
    return path


def change(file: Path, from_the_end: int) -> None:
    with open(file, "r+b") as opened:
        opened.seek(-from_the_end, os.SEEK_END)
        opened.write(b"\x01")


SIZE = 4 * ROWS * COLUMNS


@pytest.mark.parametrize(
    ("from_the_end", "seen"),
    [
        (1, True),  # the last byte
        (4096, True),
        (4097, False),  # between the pieces
        (SIZE // 2, True),
        (SIZE // 2 + 2048, True),
        (SIZE // 2 + 2049, False),
        (SIZE - 4096, False),
        (SIZE - 4095, True),
        (SIZE, True),  # its first byte
        (SIZE + 1, True),  # the small tensor's last
        (SIZE + 32, True),
    ],
)
def test_the_first_middle_and_last_4_kib_of_every_tensor_count(file: Path, from_the_end: int, seen: bool) -> None:
    before = contentid.weights_id((file,), "x", None)
    change(file, from_the_end)
    assert (contentid.weights_id((file,), "x", None) != before) is seen


def test_sizes_headers_and_the_scheme_count_and_names_do_not(file: Path) -> None:
    first = contentid.weights_id((file,), "x", None)
    assert contentid.weights_id((file.rename(file.with_name("other.safetensors")),), "x", None) == first
    file = file.with_name("other.safetensors")
    assert len({first, *(contentid.weights_id((file,), "x", Scheme(128, sym=sym)) for sym in (True, False))}) == 3
    renamed = file.read_bytes().replace(b'"small"', b'"tiny "')
    file.write_bytes(renamed)
    assert contentid.weights_id((file,), "x", None) != first


@pytest.mark.medium
def test_16_gb_take_less_than_a_second(tmp_path: Path) -> None:
    """Four thousand tensors of 4 MB, of which no byte is on the disk."""
    count, size = 4000, 4_000_000
    entries = {
        f"model.layers.{index}.weight": {
            "dtype": "BF16",
            "shape": [size // 2],
            "data_offsets": [index * size, (index + 1) * size],
        }
        for index in range(count)
    }
    header = json.dumps(entries).encode()
    path = tmp_path / "model.safetensors"
    with open(path, "wb") as opened:
        opened.write(len(header).to_bytes(8, "little") + header)
        opened.truncate(8 + len(header) + count * size)
    spent_s = []
    for _ in range(3):
        started = time.process_time()
        contentid.weights_id((path,), "x", None)
        spent_s.append(time.process_time() - started)
    assert min(spent_s) < 1


def test_an_empty_tensor_has_no_bytes_to_read(tmp_path: Path) -> None:
    header = json.dumps({"none": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert contentid.weights_id((path,), "x", None).startswith("content-")


def test_what_cannot_be_read_is_one_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(contentid.os, "pread", fail)
    with pytest.raises(BadCheckpoint, match=r"^weights=x: a file: Input/output error: "):
        contentid.weights_id((file,), "weights=x", None)
