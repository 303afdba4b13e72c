"""A folder of compiled kernels: unpacked for the module path, or refused for another GPU or Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from images.bundle import kernels, libraries
from images.bundle.errors import Wrong
from images.bundle.settings import settings
from tests.support.bundles import PYTHON, TAG, library, wheel


@pytest.mark.parametrize(
    ("capability", "tag", "why"),
    [
        (80, "py3-none-any", "some_kernel.so in {} is compiled for 8.0, not for 9.0, which hopper is"),
        (90, "cp39-cp39-linux_x86_64", f"some_kernel-1.0-cp39-cp39-linux_x86_64.whl is for cp39, the bundle for {TAG}"),
    ],
)
def test_kernels_for_another_gpu_or_python_are_refused(tmp_path: Path, capability: int, tag: str, why: str) -> None:
    folder = wheel(tmp_path / "k", "some_kernel-1.0", {"some_kernel.so": library(capability)}, tag).parent
    with pytest.raises(Wrong, match=why.format(folder)):
        kernels.unpack(folder, tmp_path / "site", settings("hopper", python=PYTHON))


@pytest.mark.parametrize(
    ("tag", "content"),
    [
        ("cp39-abi3-linux_x86_64", library(90)),  # for 3.9 and every later one
        (f"cp39.{TAG}-cp39.{TAG}-linux_x86_64", library(90)),
        ("py3-none-any", library()),  # without GPU code
    ],
)
def test_a_wheel_for_several_pythons_or_without_gpu_code_is_taken(tmp_path: Path, tag: str, content: bytes) -> None:
    folder = wheel(tmp_path / "k", "some_kernel-1.0", {"some_kernel.so": content}, tag).parent
    kernels.unpack(folder, tmp_path / "site", settings("hopper", python=PYTHON))
    assert (tmp_path / "site" / "some_kernel.so").read_bytes() == content


def test_a_library_that_is_named_for_another_python_is_refused(tmp_path: Path) -> None:
    name = "some_kernel.cpython-39-x86_64-linux-gnu.so"
    folder = wheel(tmp_path / "k", "some_kernel-1.0", {name: library(90)}).parent
    with pytest.raises(Wrong, match=rf"{name} in {folder} is for cp39, the bundle for {TAG}: give PYTHON_VERSION"):
        kernels.unpack(folder, tmp_path / "site", settings("hopper", python=PYTHON))


def test_archives_and_wheels_are_unpacked_and_each_compressed_library_too(prebuilt: Path, tmp_path: Path) -> None:
    kernels.unpack(prebuilt, tmp_path / "site", settings("hopper", python=PYTHON))
    unpacked = {str(file.relative_to(tmp_path / "site")) for file in (tmp_path / "site").rglob("*.so*")}
    assert unpacked == {"some_kernel.so", "ext.so"}
    assert (tmp_path / "site" / "ext.so").read_bytes() == library(90, needs=libraries.NEW_STRING)


def test_an_archive_that_is_damaged_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "k").mkdir()
    (tmp_path / "k" / "kernels.tar.xz").write_bytes(b"\xfd7zXZ\0and no more")
    with pytest.raises(Wrong, match=r"kernels\.tar\.xz cannot be unpacked \([^\n]+\): make or copy it again$"):
        kernels.unpack(tmp_path / "k", tmp_path / "site", settings("hopper", python=PYTHON))
