"""`compile.py FAMILY FOLDER`: compile a family of kernels for TORCH_CUDA_ARCH_LIST; leave wheels and their SHA256SUMS.

Runs in a builder stage, where the packages are installed and no GPU is. A family that the stack has not leaves no
wheel. The sources are compiled by the packages' own code with the packages' own flags, unpatched.
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
"""Those the project has a use for, of its module `extension`."""


def main(family: str, folder: str) -> None:
    target = Path(folder)
    target.mkdir(parents=True)
    for wheel in FAMILIES[family]():
        shutil.copy(wheel, target)
    lines = [f"{hashlib.sha256(wheel.read_bytes()).hexdigest()}  {wheel.name}\n" for wheel in sorted(target.iterdir())]
    (target / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def rest() -> list[Path]:
    """What came as sources and needs no CUDA compiler."""
    return [wheel for wheel in SOURCES.glob("*.whl") if not wheel.name.startswith(COMPILED)]


def exllamav2() -> list[Path]:
    """Importing the package compiles its extension where it finds none. Its sources are of no use after that."""
    if importlib.util.find_spec("exllamav2") is None:
        return []
    build = Path(tempfile.mkdtemp())
    _run(sys.executable, "-c", "import exllamav2", TORCH_EXTENSIONS_DIR=str(build))
    (library,) = build.rglob("exllamav2_ext.so")
    return [_with_libraries("exllamav2", [library], without="exllamav2/exllamav2_ext")]


def gptqmodel() -> list[Path]:
    """Its wheel with the compiled extensions beside the package, where the module path has them."""
    if importlib.util.find_spec("gptqmodel") is None:
        return []
    return [_with_libraries("gptqmodel", [_gptqmodel_library(name) for name in GPTQMODEL_EXTENSIONS])]


FAMILIES: dict[str, Callable[[], list[Path]]] = {"rest": rest, "exllamav2": exllamav2, "gptqmodel": gptqmodel}


def _gptqmodel_library(name: str) -> Path:
    """One extension, compiled. The package's own `load` refuses where torch sees no GPU: what it calls is called."""
    from gptqmodel import extension
    from torch.utils import cpp_extension

    found = extension._EXTENSION_SPECS_BY_NAME[name].resolve()
    build = Path(tempfile.mkdtemp())
    cpp_extension.load(
        name=found.name,
        sources=found._resolve_sequence(found.sources),
        extra_cflags=found._resolved_extra_cflags(),
        extra_cuda_cflags=found._resolved_extra_cuda_cflags(),
        extra_ldflags=found._resolve_sequence(found.extra_ldflags),
        extra_include_paths=found._resolved_extra_include_paths(),
        build_directory=str(build),
        is_python_module=False,
        verbose=True,
    )
    return build / f"{found.name}.so"


def _with_libraries(package: str, libraries: Sequence[Path], without: str | None = None) -> Path:
    """The package's wheel with the libraries at its root, no longer one for every platform."""
    (original,) = SOURCES.glob(f"{package}-*.whl")
    work = Path(tempfile.mkdtemp())
    _run(sys.executable, "-m", "wheel", "unpack", str(original), "--dest", str(work))
    (tree,) = work.iterdir()
    for library in libraries:
        shutil.copy(library, tree)
    if without is not None:
        shutil.rmtree(tree / without)
    (about,) = tree.glob("*.dist-info/WHEEL")
    kept = [line for line in about.read_text().splitlines() if not line.startswith(("Tag:", "Root-Is-Purelib:"))]
    about.write_text("\n".join([*(line for line in kept if line), "Root-Is-Purelib: false", TAG, ""]))
    _run(sys.executable, "-m", "wheel", "pack", str(tree), "--dest-dir", str(work))
    (packed,) = work.glob("*.whl")
    return packed


def _run(*command: str, **environment: str) -> None:
    subprocess.run(command, check=True, env={**os.environ, **environment})


if __name__ == "__main__":
    main(*sys.argv[1:])
