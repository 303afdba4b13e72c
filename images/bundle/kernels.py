"""Compiled kernels from a folder, unpacked for the module path. docs/containers.md describes the folder."""

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


def unpack(folder: Path, site: Path, settings: Settings) -> None:
    """Unpacks all archives and wheels of the folder into `site`.

    Raises Wrong if there are none, or if they are for another Python or architecture.
    """
    if not folder.is_dir():
        raise Wrong(f"KERNELS={folder} is no folder: name one with compiled kernels (docs/containers.md describes it)")
    files = sorted(file for file in folder.rglob("[!.]*") if file.is_file())
    archives = [file for file in files if ARCHIVE.search(file.name)]
    wheels = [file for file in files if file.suffix == ".whl"]
    if not archives and not wheels:
        raise Wrong(
            f"KERNELS={folder} has no kernels: neither archives (*.tar.*) nor wheels (*.whl): name a folder with some"
        )
    for wheel in wheels:
        _check_tag(wheel, settings)
        packages.unpack(wheel, site)
    for archive in archives:
        _extract(archive, site)
    _decompress(site)
    _check(site, folder, settings)


def _check_tag(wheel: Path, settings: Settings) -> None:
    python, abi, _ = wheel.stem.rsplit("-", 3)[1:]
    tags = python.split(".")
    if abi != "abi3" and all(map(FOR_PYTHON.match, tags)) and settings.tag not in tags:
        raise Wrong(f"The kernels' {wheel.name} is for {python}, the bundle for {settings.tag}: give PYTHON_VERSION")


def _extract(archive: Path, site: Path) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise Wrong(f"Python {platform.python_version()} cannot unpack archives safely: make .venv of 3.11.4 or newer")
    try:
        with tarfile.open(archive) as opened:
            opened.extractall(site, filter="data")
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        reason = " ".join(str(error).split())  # tarfile tells of each compression in a line of its own
        raise Wrong(f"{archive} cannot be unpacked ({reason}): make or copy it again") from error


def _decompress(site: Path) -> None:
    """Decompresses libraries that are compressed individually (NAME.so.xz), in place."""
    for compressed in sorted(site.rglob("*.so.xz")):
        with lzma.open(compressed) as source, compressed.with_suffix("").open("wb") as target:
            shutil.copyfileobj(source, target)
        compressed.unlink()


def _check(site: Path, folder: Path, settings: Settings) -> None:
    """Raises Wrong unless each library is for the bundle's Python and, if it has GPU code, for all its
    architectures."""
    for library in libraries.libraries(site):
        if (other := OTHER_PYTHON.search(library.name)) and f"cp{other[1]}" != settings.tag:
            raise Wrong(
                f"{library.name} in {folder} is for cp{other[1]}, the bundle for {settings.tag}: give PYTHON_VERSION"
            )
        compiled = libraries.needs(library).capabilities
        without = [name for name in settings.arch_list if compiled and not libraries.runs_on(compiled, name)]
        if without:
            raise Wrong(
                f"{library.name} in {folder} is compiled for {', '.join(compiled)}, "
                f"not for {', '.join(without)}, which {settings.arch} is: compile it for that, or choose another ARCH"
            )
