"""A folder of compiled kernels, unpacked for the module path. docs/bundle.md describes such a folder."""

from __future__ import annotations

import lzma
import platform
import re
import shutil
import tarfile
from pathlib import Path

from images.bundle import libraries, packages
from images.bundle.errors import Wrong
from images.bundle.settings import Settings

ARCHIVE = re.compile(r"\.(tar(\.(xz|gz|bz2))?|tgz|txz)$")
OTHER_PYTHON = re.compile(r"\.cpython-(\d+)-[^/]*\.so$")
FOR_PYTHON = re.compile(r"^cp(\d+)$")


def unpack(folder: Path, site: Path, wanted: Settings) -> None:
    """All archives and wheels of the folder, into one. Raises Wrong where there are none, or they are not for the
    bundle's Python or architecture."""
    if not folder.is_dir():
        raise Wrong(f"KERNELS={folder} is no folder: name one with compiled kernels (docs/bundle.md describes it)")
    files = sorted(file for file in folder.rglob("[!.]*") if file.is_file())
    archives = [file for file in files if ARCHIVE.search(file.name)]
    wheels = [file for file in files if file.suffix == ".whl"]
    if not archives and not wheels:
        raise Wrong(f"KERNELS={folder} has no kernels: neither archives (*.tar.*) nor wheels (*.whl)")
    for wheel in wheels:
        _check_tag(wheel, wanted)
        packages.unpack(wheel, site)
    for archive in archives:
        _extract(archive, site)
    _decompress(site)
    _check(site, folder, wanted)


def _check_tag(wheel: Path, wanted: Settings) -> None:
    python, abi, _ = wheel.stem.rsplit("-", 3)[1:]
    tags = python.split(".")
    if abi != "abi3" and all(map(FOR_PYTHON.match, tags)) and wanted.tag not in tags:
        raise Wrong(f"The kernels' {wheel.name} is for {python}, the bundle for {wanted.tag}: give PYTHON_VERSION")


def _extract(archive: Path, site: Path) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise Wrong(f"Python {platform.python_version()} cannot unpack archives safely: make .venv of 3.11.4 or newer")
    try:
        with tarfile.open(archive) as opened:
            opened.extractall(site, filter="data")
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise Wrong(f"{archive} cannot be unpacked: {error}") from error


def _decompress(site: Path) -> None:
    """A library that is compressed by itself (NAME.so.xz), in its place."""
    for compressed in sorted(site.rglob("*.so.xz")):
        with lzma.open(compressed) as source, compressed.with_suffix("").open("wb") as target:
            shutil.copyfileobj(source, target)
        compressed.unlink()


def _check(site: Path, folder: Path, wanted: Settings) -> None:
    """Each library is for the bundle's Python and, where it has code for GPUs, for each one of its architecture."""
    for library in libraries.libraries(site):
        if (other := OTHER_PYTHON.search(library.name)) and f"cp{other[1]}" != wanted.tag:
            raise Wrong(
                f"{library.name} in {folder} is for cp{other[1]}, the bundle for {wanted.tag}: give PYTHON_VERSION"
            )
        compiled = libraries.needs(library).capabilities
        without = [name for name in wanted.arch_list if compiled and not libraries.runs_on(compiled, name)]
        if without:
            raise Wrong(
                f"{library.name} in {folder} is compiled for {', '.join(compiled)}, "
                f"not for {', '.join(without)}, which {wanted.arch} is"
            )
