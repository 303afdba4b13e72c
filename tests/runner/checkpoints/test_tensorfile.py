"""A safetensors file that is truncated, too long, or has a damaged header is refused by name."""

from pathlib import Path

import pytest

from runner.checkpoints import tensorfile
from tests.support import checkpoints
from tests.support.checkpoints import refusal


@pytest.mark.parametrize("keep", [4, 20, -1])
def test_a_truncated_file(folder: Path, keep: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    assert refusal(folder).startswith("weights=x: model.safetensors is truncated")
    assert refusal(folder).endswith("fetch it again")


def test_a_file_with_a_tail(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes() + b"x")
    assert refusal(folder).startswith("weights=x: model.safetensors is longer than its tensors: ")
    assert refusal(folder).endswith("fetch it again")


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"{not json",
        b'{"w": {}}',
        b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}',
        b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"w": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 1e999]}}',
        b'{"w": {"dtype": "F32", "shape": [1.5], "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": "I32", "shape": {}, "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": "F32", "shape": [0], "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": "F31", "shape": [1], "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": "I8", "shape": [3], "data_offsets": [1, 4]}}',
        b'{"w": {"dtype": "I8", "shape": [1], "data_offsets": [0, 1]},'
        b' "x": {"dtype": "I8", "shape": [2], "data_offsets": [2, 4]}}',
        b'{"__metadata__": [], "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": "F64", "dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": "F4", "shape": [7], "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": "C64", "shape": [1], "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": "F4", "shape": [1], "data_offsets": [0, ' + b"9" * 4300 + b"]}}",
        b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [-0, 4]}}',
        b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},'
        b' "x": {"dtype": "F32", "shape": [9223372036854775807, 3, 0], "data_offsets": [4, 4]}}',
        b'{"\\ud800": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
        '{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'.encode("utf-16-le"),
        b'{"__metadata__": {"format": 1}, "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
    ],
)
def test_a_damaged_header(folder: Path, header: bytes) -> None:
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert "weights=x: model.safetensors: its header is damaged" in refusal(folder)


def test_an_absurd_header_length_is_not_read(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((2**63).to_bytes(8, "little") + bytes(16))
    assert "truncated or not safetensors (24 bytes)" in refusal(folder)


def test_tensors_may_lie_in_any_order(tmp_path: Path) -> None:
    header = (
        b'{"b": {"dtype": "I8", "shape": [2], "data_offsets": [1, 3]},'
        b' "a": {"dtype": "I8", "shape": [1], "data_offsets": [0, 1]}}'
    )
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(3))
    assert {name: tensor.shape for name, tensor in tensorfile.tensors_of(file).items()} == {"a": (1,), "b": (2,)}


def test_a_file_without_metadata_or_tensors_is_one(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes((2).to_bytes(8, "little") + b"{}")
    assert tensorfile.tensors_of(file) == {}
    file.write_bytes(checkpoints.safetensors({"a": ("F32", (2,))}))
    assert [*tensorfile.tensors_of(file)] == ["a"]
