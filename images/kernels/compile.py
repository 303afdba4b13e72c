"""`compile.py FAMILY FOLDER`: compiles a family of kernels for TORCH_CUDA_ARCH_LIST into wheels with SHA256SUMS.

It runs in a builder stage with the packages installed and without a GPU. A family that the stack lacks gives no wheel.
The packages' own code compiles the unpatched sources with the packages' own flags.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

SOURCES = Path("/opt/build/sources")
COMPILED = ("exllamav2", "gptqmodel")
PYTHON = f"cp{sys.version_info.major}{sys.version_info.minor}"
TAG = f"Tag: {PYTHON}-{PYTHON}-linux_x86_64"
GPTQMODEL_EXTENSIONS = ("exllamav2", "marlin_fp16", "marlin_bf16")
"""The extensions in its module `extension` that the project uses."""


def main(family: str, folder: str) -> None:
    """Compiles a family, and writes its wheels and their SHA256SUMS into the new folder."""
    target = Path(folder)
    target.mkdir(parents=True)
    for wheel in FAMILIES[family]():
        shutil.copy(wheel, target)
    lines = [f"{hashlib.sha256(wheel.read_bytes()).hexdigest()}  {wheel.name}\n" for wheel in sorted(target.iterdir())]
    (target / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def rest() -> list[Path]:
    """Returns the wheels of packages that are built from source without a CUDA compiler."""
    return [wheel for wheel in SOURCES.glob("*.whl") if not wheel.name.startswith(COMPILED)]


def exllamav2() -> list[Path]:
    """Returns exllamav2's wheel with its extension, without the sources. Importing the package compiles the
    extension."""
    if importlib.util.find_spec("exllamav2") is None:
        return []
    build = Path(tempfile.mkdtemp())
    _run(sys.executable, "-c", "import exllamav2", TORCH_EXTENSIONS_DIR=str(build))
    (library,) = build.rglob("exllamav2_ext.so")
    return [_with_libraries("exllamav2", [library], without="exllamav2/exllamav2_ext")]


def gptqmodel() -> list[Path]:
    """Returns gptqmodel's wheel with its compiled extensions beside the package."""
    if importlib.util.find_spec("gptqmodel") is None:
        return []
    return [_with_libraries("gptqmodel", [_gptqmodel_library(name) for name in GPTQMODEL_EXTENSIONS])]


FAMILIES: dict[str, Callable[[], list[Path]]] = {"rest": rest, "exllamav2": exllamav2, "gptqmodel": gptqmodel}


def _gptqmodel_library(name: str) -> Path:
    """Returns one compiled extension. The package's `load` refuses without a GPU, so this does what it does."""
    from gptqmodel import extension
    from torch.utils import cpp_extension

    spec = extension._EXTENSION_SPECS_BY_NAME[name].resolve()
    build = Path(tempfile.mkdtemp())
    cpp_extension.load(
        name=spec.name,
        sources=spec._resolve_sequence(spec.sources),
        extra_cflags=spec._resolved_extra_cflags(),
        extra_cuda_cflags=spec._resolved_extra_cuda_cflags(),
        extra_ldflags=spec._resolve_sequence(spec.extra_ldflags),
        extra_include_paths=spec._resolved_extra_include_paths(),
        build_directory=str(build),
        is_python_module=False,
        verbose=True,
    )
    return build / f"{spec.name}.so"


def _with_libraries(package: str, libraries: Sequence[Path], without: str | None = None) -> Path:
    """Returns the package's wheel with the libraries at its root, tagged for this platform."""
    (original,) = SOURCES.glob(f"{package}-*.whl")
    work = Path(tempfile.mkdtemp())
    _run(sys.executable, "-m", "wheel", "unpack", str(original), "--dest", str(work))
    (tree,) = work.iterdir()
    for library in libraries:
        shutil.copy(library, tree)
    if without is not None:
        shutil.rmtree(tree / without)
    (about,) = tree.glob("*.dist-info/WHEEL")
    lines = [line for line in about.read_text().splitlines() if not line.startswith(("Tag:", "Root-Is-Purelib:"))]
    about.write_text("\n".join([*(line for line in lines if line), "Root-Is-Purelib: false", TAG, ""]))
    _run(sys.executable, "-m", "wheel", "pack", str(tree), "--dest-dir", str(work))
    (packed,) = work.glob("*.whl")
    return packed


def _run(*command: str, **environment: str) -> None:
    subprocess.run(command, check=True, env={**os.environ, **environment})


if __name__ == "__main__":
    main(*sys.argv[1:])
