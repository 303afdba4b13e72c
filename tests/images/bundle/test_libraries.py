"""The needs of a compiled library, read from bytes that are laid out as a linker and CUDA's fatbinary lay them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from images.bundle import libraries
from images.bundle.libraries import FATBIN_HEADER, FATBIN_MAGIC, IMAGE_HEADER, Needs
from tests.support.bundles import library

PTX = 1


def needs_of(tmp_path: Path, content: bytes) -> Needs:
    (tmp_path / "x.so").write_bytes(content)
    return libraries.needs(tmp_path / "x.so")


def test_a_library_needs_the_latest_glibc_that_it_names(tmp_path: Path) -> None:
    names = b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.17\0MYGLIBC_2.99\0"
    assert needs_of(tmp_path, library(needs=names)) == Needs(34, None, ())
    assert needs_of(tmp_path, library()).glibc == 0


@pytest.mark.parametrize(
    ("name", "abi"), [(libraries.NEW_STRING, True), (libraries.OLD_STRING, False), (b"something else", None)]
)
def test_the_string_in_torchs_check_tells_the_abi(tmp_path: Path, name: bytes, abi: bool | None) -> None:
    assert needs_of(tmp_path, library(needs=name)).cxx11_abi is abi


def test_capabilities_are_those_of_all_machine_code_each_once(tmp_path: Path) -> None:
    """Two fat binaries in one library, as of two source files."""
    assert needs_of(tmp_path, library(80, 90) + library(90, 100)).capabilities == ("10.0", "8.0", "9.0")


def test_ptx_is_no_machine_code(tmp_path: Path) -> None:
    """An image of PTX for 8.0, then machine code for 9.0; 16 bytes follow each of their headers of 40."""
    images = b"".join(
        IMAGE_HEADER.pack(kind, 0x101, 40, 16, 0, 0, 0, 0, number).ljust(40, b"\0") + bytes(16)
        for kind, number in ((PTX, 80), (libraries.MACHINE_CODE, 90))
    )
    content = FATBIN_HEADER.pack(FATBIN_MAGIC, 1, FATBIN_HEADER.size, len(images)) + images + bytes(64)
    assert needs_of(tmp_path, content).capabilities == ("9.0",)


@pytest.mark.parametrize("end", [b"", b"\1\0", FATBIN_HEADER.pack(FATBIN_MAGIC, 1, 16, 2**40)[4:]])
def test_the_magic_number_by_chance_is_no_machine_code(tmp_path: Path, end: bytes) -> None:
    assert needs_of(tmp_path, b"\x7fELF" + FATBIN_MAGIC + end).capabilities == ()


@pytest.mark.parametrize(
    ("compiled", "capability", "runs"),
    [
        (("8.0",), "8.6", True),
        (("8.9",), "8.6", False),  # of a later minor version
        (("8.0",), "9.0", False),  # of another major version
        (("8.0", "9.0"), "9.0", True),
        (("9.0",), "10.0", False),
        ((), "9.0", False),
    ],
)
def test_code_runs_on_its_own_capability_and_later_ones_of_the_same_major_version(
    compiled: tuple[str, ...], capability: str, runs: bool
) -> None:
    assert libraries.runs_on(compiled, capability) is runs


def test_libraries_are_files_by_their_names_in_any_folder(tmp_path: Path) -> None:
    (tmp_path / "folder.so").mkdir()
    for name in ("b.so.1.2", "folder.so/a.so", "c.so.xz", "d.so.py", "e.sos"):
        (tmp_path / name).touch()
    assert [str(file.relative_to(tmp_path)) for file in libraries.libraries(tmp_path)] == ["b.so.1.2", "folder.so/a.so"]
