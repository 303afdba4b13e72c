"""A bundle of fake wheels, and the compiled kernels in it."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import pytest

from images.bundle import libraries, packages
from tests.support.bundles import library, made, unpacked, wheel


def fetch(wanted: Mapping[str, packages.Pin], _python: str, folder: Path, _index: str) -> None:
    """pip at its edge: what it would download are wheels with a module each."""
    folder.mkdir(parents=True, exist_ok=True)
    for pin in wanted.values():
        name = pin.name.replace("-", "_")
        wheel(folder, f"{name}-{pin.version}", {f"{name}.py": b"", f"{name}-{pin.version}.data/scripts/x": b"#!"})


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "fetch", fetch)


@pytest.fixture(scope="session")
def kernels_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of compiled kernels for hopper and this Python; to be copied, never changed."""
    parent = tmp_path_factory.mktemp("prebuilt")
    folder = parent / "kernels"
    wheel(folder / "wheels", "some_kernel-1.0", {"some_kernel.so": library(90, needs=b"\0GLIBC_2.34\0")})
    (parent / "ext.so").write_bytes(library(90, needs=libraries.NEW_STRING))
    subprocess.run(["xz", str(parent / "ext.so")], check=True)
    with tarfile.open(folder / "other.tar.xz", "w:xz") as opened:
        opened.add(parent / "ext.so.xz", "ext.so.xz")
    return folder


@pytest.fixture
def prebuilt(kernels_made: Path, tmp_path: Path) -> Path:
    """A folder of compiled kernels for hopper and this Python."""
    return Path(shutil.copytree(kernels_made, tmp_path / "kernels"))


@pytest.fixture(scope="session")
def archive(kernels_made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of a host-torch bundle for hopper. Packing it takes a second."""
    with mock.patch.object(packages, "fetch", fetch):
        out = tmp_path_factory.mktemp("bundle") / "out"
        return made(out, "hopper", "--base", "host-torch", "--kernels", str(kernels_made))


@pytest.fixture
def bundle(archive: Path, tmp_path: Path) -> Path:
    """That bundle, unpacked in a folder with a space in its name."""
    (tmp_path / "a box").mkdir()
    return unpacked(archive, tmp_path / "a box")
