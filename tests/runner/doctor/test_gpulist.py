"""The catalogue's names read without PyYAML are those that the catalogue itself has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runner.cell import catalogue
from runner.doctor import gpulist, interpreter
from runner.doctor.gpulist import NamedGpu
from runner.errors import BadValue

GPUS = catalogue.gpus()


def test_both_readers_find_the_same_gpus_in_the_same_order() -> None:
    assert list(gpulist.read(catalogue.SHIPPED / "gpus.yaml")) == list(gpulist.entries()) == list(GPUS)


@pytest.mark.parametrize("key", GPUS)
def test_both_readers_read_a_gpu_alike(key: str) -> None:
    expected = NamedGpu(key, GPUS[key].name, GPUS[key].nvml, GPUS[key].image)
    assert gpulist.read(catalogue.SHIPPED / "gpus.yaml")[key] == expected
    assert gpulist.entries()[key] == expected


def test_the_small_reader_is_used_without_pyyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "is_environment", lambda: False)
    monkeypatch.delitem(sys.modules, "runner.cell.catalogue")
    assert list(gpulist.entries()) == list(GPUS)
    assert "runner.cell.catalogue" not in sys.modules


def test_scalars_are_read_as_yaml_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "gpus.yaml"
    file.write_text(
        "# a remark\n"
        "one:  # another\n"
        "  name: NVIDIA One (80 GB)  # of a maker\n"
        "  nvml: 'it''s \\(one\\)'\n"
        "  image: null\n"
        "  bandwidth_gbs: {value: 1, source: \"name: 'two'\"}\n"
        "\n"
        "two:\n"
        '  nvml: "NVIDIA #2"\n'
        "  image: ada\n"
        "  name: Two\n"
    )
    assert gpulist.read(file) == {
        "one": NamedGpu("one", "NVIDIA One (80 GB)", "it's \\(one\\)", None),
        "two": NamedGpu("two", "Two", "NVIDIA #2", "ada"),
    }


@pytest.mark.parametrize("content", [b"", b"- a list\n", b"\xff\xfe"])
def test_a_damaged_catalogue_is_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "gpus.yaml"
    file.write_bytes(content)
    with pytest.raises(BadValue, match="restore it with git"):
        gpulist.read(file)
