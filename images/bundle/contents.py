"""The contents of a bundle: the project, its packages, the kernels, the manifest and the program `run`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from images.bundle import kernels, libraries, packages
from images.bundle.errors import Wrong
from images.bundle.settings import CPU, FULL, LOCKS, ROOT, Settings, listed
from runner import registry
from runner.record import codekey

THERE = Path(__file__).parent / "there"
FORMAT = 1
DOCUMENTS = (
    "docs/containers.md",
    "docs/exit-codes.md",
    "docs/record.schema.json",
    "docs/studies.md",
    "docs/study.schema.json",
)
HOST_PACKAGES = ("torch", "numpy", "transformers", "triton", "safetensors", "accelerate")
"""Packages that the host provides for a bundle with the base host-torch."""
GLIBC_OF_WHEELS = 28  # the locks are resolved for manylinux_2_28
NEW_ABI_SINCE = (2, 6)  # PyPI's torch has the C++11 ABI
CUDA_LIBRARY = re.compile(r"^libbitsandbytes_cuda(\d+)\.so$")


def collect(settings: Settings, prebuilt: Path | None, folder: Path) -> dict[str, Any]:
    """Fills the empty folder and returns the manifest.

    `prebuilt` contains compiled kernels, and is None if the bundle needs none. Raises Wrong if an input is missing or
    does not fit the settings, OSError if space runs out.
    """
    site = folder / "site"
    site.mkdir()
    if prebuilt is not None:
        kernels.unpack(prebuilt, site, settings)
    _copy_project(folder)
    pins = _pins(settings, packages.installed(site))
    if settings.base == FULL:
        _add_wheels(settings, pins, folder)
    else:
        _add_unpacked(settings, pins, folder, site)
    _prune(site, settings.cuda)
    manifest = _manifest(settings, site)
    manifest["files"] = {name: packages.sha256(folder / name) for name in _files(folder)}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def _pins(settings: Settings, present: Mapping[str, str]) -> dict[str, packages.Pin]:
    """Returns the packages to fetch, without those that came with the kernels.

    A full bundle has its stack, and the runner's other requirements.
    """
    stack, runner_pins = packages.pins(settings.stack_locks()), packages.pins([LOCKS / "bundle.txt"])
    if settings.base == FULL:
        required = {**runner_pins, **stack}
    else:
        beside = {name for package in present for name in _beside(package) if name in stack}
        required = {**runner_pins, **{name: stack[name] for name in sorted(beside)}}
    return {name: pin for name, pin in required.items() if name not in present}


def _beside(package: str) -> set[str]:
    """Returns the packages that a kernel's package imports and hosts need not have. The stack's lock has them."""
    declared = registry.kernel_declarations()
    return {name for kernel in declared if kernel.package == package for name in kernel.installation.beside}


def _copy_project(folder: Path) -> None:
    """Copies the project unchanged, because its keys are hashes of its files."""
    shutil.copytree(ROOT / "runner", folder / "runner", ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))
    for name in ("LICENSE", *DOCUMENTS):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "experiments").mkdir()
    for file in sorted((ROOT / "experiments").glob("[!.]*.yaml")):
        shutil.copy(file, folder / "experiments")
    shutil.copy(THERE / "start.py", folder)
    shutil.copy(THERE / "run.sh", folder / "run")
    (folder / "run").chmod(0o755)


def _add_wheels(settings: Settings, pins: dict[str, packages.Pin], folder: Path) -> None:
    """Adds wheels, for a virtual environment that pip makes on the host."""
    wheels = folder / "wheels"
    packages.fetch(pins, settings.python, wheels, settings.extra_index_url)
    (folder / "requirements.txt").write_text(packages.requirements(list(wheels.glob("*.whl"))), encoding="utf-8")


def _add_unpacked(settings: Settings, pins: dict[str, packages.Pin], folder: Path, site: Path) -> None:
    """Adds unpacked packages, for a host without pip."""
    wheels = folder.parent / "wheels"
    packages.fetch(pins, settings.python, wheels, "")
    for wheel in sorted(wheels.glob("*.whl")):
        packages.unpack(wheel, site)
    if duplicates := sorted(set(packages.installed(site)) & set(HOST_PACKAGES)):
        raise Wrong(
            f"The folder of kernels has {listed(duplicates)}, which BASE=host-torch leaves to the host: take it out"
        )


def _prune(site: Path, cuda: str) -> None:
    """Removes bitsandbytes' libraries (25 MB each) for other CUDA versions than torch's."""
    for library in site.glob("bitsandbytes/libbitsandbytes_cuda*.so"):
        if (match := CUDA_LIBRARY.match(library.name)) and match[1] != cuda.replace(".", ""):
            library.unlink()


def _manifest(settings: Settings, site: Path) -> dict[str, Any]:
    """Returns the bundle's description and requirements. Raises Wrong for kernels compiled against another torch."""
    pins = packages.pins(settings.stack_locks())
    torch = pins["torch"].version.split("+")[0]
    abi = tuple(map(int, torch.split(".")[:2])) >= NEW_ABI_SINCE
    needs = {library: libraries.needs(library) for library in libraries.libraries(site)}
    for library, library_needs in needs.items():
        if library_needs.cxx11_abi is not None and library_needs.cxx11_abi != abi:
            raise Wrong(
                f"{library.name} was compiled with the other C++ ABI than torch {torch} has: "
                "build it again with that torch"
            )
    compiled = [library_needs.glibc for library_needs in needs.values()]
    glibc = max([GLIBC_OF_WHEELS if settings.base == FULL else 0, *compiled])
    host = [name for name in HOST_PACKAGES if name in pins] if settings.base != FULL else []
    return {
        "bundle": FORMAT,
        "arch": settings.arch,
        "stack": settings.stack,
        "base": settings.base,
        "python": settings.tag,
        "platform": "linux-x86_64",
        "glibc": f"2.{glibc}" if glibc else None,
        "torch": torch,
        "cuda": settings.cuda or None,
        "cxx11_abi": abi,
        "capabilities": list(settings.arch_list),
        "min_driver": int(settings.min_driver) if settings.min_driver else None,
        "host_packages": {name: pins[name].version.split("+")[0] for name in host},
        "packages": packages.installed(site),
        "tree_key": codekey.tree_key(),
        "revision": revision(),
        "files": {},
    }


def _files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder))


def revision() -> str:
    """Returns the checked-out commit, marked if the tree differs from it; `unknown` without git."""
    return _git("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*") or "unknown"


def made_at() -> int:
    """Returns the commit's time in seconds since the epoch, so that one commit gives the same bytes."""
    return int(_git("log", "-1", "--format=%ct") or 0)


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def build_kernels(settings: Settings, folder: Path) -> None:
    """Compiles the kernels in the image's builder stages, with a container engine.

    The engine's output goes to the terminal. Raises Wrong if it fails.
    """
    base_image = f"docker.io/library/python:{settings.python}-slim-bookworm"
    environment = {"BASE_IMAGE": base_image, **{name: value for name, value in os.environ.items() if value}}
    command = ["images/build.sh", "--kernels", str(folder), settings.arch, settings.stack]
    sys.stdout.flush()
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0:
        raise Wrong("Without compiled kernels there is no bundle: name a folder of prebuilt ones with KERNELS=")


def needs_kernels(settings: Settings) -> bool:
    """Returns whether anything has to be compiled for the architecture."""
    return settings.arch != CPU
