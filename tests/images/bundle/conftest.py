"""A bundle of fake wheels, and the compiled kernels in it."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from images.bundle import libraries, packages
from tests.support.bundles import library, made, unpacked, wheel


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip at its edge: what it would download are wheels with a module each."""

    def fetch(wanted: Mapping[str, packages.Pin], _python: str, folder: Path, _index: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for pin in wanted.values():
            name = pin.name.replace("-", "_")
            wheel(folder, f"{name}-{pin.version}", {f"{name}.py": b"", f"{name}-{pin.version}.data/scripts/x": b"#!"})

    monkeypatch.setattr(packages, "fetch", fetch)


@pytest.fixture
def prebuilt(tmp_path: Path) -> Path:
    """A folder of compiled kernels for hopper and this Python."""
    folder = tmp_path / "kernels"
    wheel(folder / "wheels", "some_kernel-1.0", {"some_kernel.so": library(90, needs=b"\0GLIBC_2.34\0")})
    (tmp_path / "ext.so").write_bytes(library(90, needs=libraries.NEW_STRING))
    subprocess.run(["xz", str(tmp_path / "ext.so")], check=True)
    with tarfile.open(folder / "other.tar.xz", "w:xz") as opened:
        opened.add(tmp_path / "ext.so.xz", "ext.so.xz")
    return folder


@pytest.fixture
def bundle(tmp_path: Path, prebuilt: Path, no_index: None) -> Path:  # noqa: ARG001 (pip at its edge)
    """A host-torch bundle for hopper, unpacked in a folder with a space in its name."""
    file = made(tmp_path / "out", "hopper", "--base", "host-torch", "--kernels", str(prebuilt))
    (tmp_path / "a box").mkdir()
    return unpacked(file, tmp_path / "a box")
