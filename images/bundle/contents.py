"""What a bundle is made of: the project, its packages, the kernels, the manifest and the program `run`."""

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
HOST_PACKAGES = ("torch", "numpy", "transformers", "triton", "safetensors", "accelerate")
"""What a bundle with the base host-torch leaves to its host."""
GLIBC_OF_WHEELS = 28  # the locks are resolved for manylinux_2_28
NEW_ABI_SINCE = (2, 6)  # PyPI's torch has the C++11 ABI
CUDA_LIBRARY = re.compile(r"^libbitsandbytes_cuda(\d+)\.so$")


def collect(wanted: Settings, prebuilt: Path | None, folder: Path) -> dict[str, Any]:
    """Fill the empty folder; returns the manifest. `prebuilt` has compiled kernels, None where the bundle needs none.
    Raises Wrong, or OSError for lack of space."""
    site = folder / "site"
    site.mkdir()
    if prebuilt is not None:
        kernels.unpack(prebuilt, site, wanted)
    _copy_project(folder)
    pins = _pins(wanted, packages.installed(site))
    if wanted.base == FULL:
        _add_wheels(wanted, pins, folder)
    else:
        _add_unpacked(wanted, pins, folder, site)
    _prune(site, wanted.cuda)
    manifest = _manifest(wanted, site)
    manifest["files"] = {name: packages.sha256(folder / name) for name in _files(folder)}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def _pins(wanted: Settings, here: Mapping[str, str]) -> dict[str, packages.Pin]:
    """The packages to fetch: not those that came with the kernels. A full bundle has its stack, and of what the runner
    needs beside it what the stack has not."""
    stack, own = packages.pins(wanted.stack_locks()), packages.pins([LOCKS / "bundle.txt"])
    if wanted.base == FULL:
        found = {**own, **stack}
    else:
        beside = {name for package in here for name in _beside(package) if name in stack}
        found = {**own, **{name: stack[name] for name in sorted(beside)}}
    return {name: pin for name, pin in found.items() if name not in here}


def _beside(package: str) -> set[str]:
    """Returns what a kernel's package imports that no host is asked for; it is in the stack's lock."""
    declared = registry.kernel_declarations()
    return {name for kernel in declared if kernel.package == package for name in kernel.installation.beside}


def _copy_project(folder: Path) -> None:
    """Unchanged, because its keys are hashes of it."""
    shutil.copytree(ROOT / "runner", folder / "runner", ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))
    for name in ("LICENSE", "docs/record.schema.json", "docs/exit-codes.md", "docs/bundle.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "experiments").mkdir()
    for file in sorted((ROOT / "experiments").glob("[!.]*.yaml")):
        shutil.copy(file, folder / "experiments")
    shutil.copy(THERE / "start.py", folder)
    shutil.copy(THERE / "run.sh", folder / "run")
    (folder / "run").chmod(0o755)


def _add_wheels(wanted: Settings, pins: dict[str, packages.Pin], folder: Path) -> None:
    """For a virtual environment that pip makes there."""
    wheels = folder / "wheels"
    packages.fetch(pins, wanted.python, wheels, wanted.extra_index_url)
    (folder / "requirements.txt").write_text(packages.requirements(list(wheels.glob("*.whl"))), encoding="utf-8")


def _add_unpacked(wanted: Settings, pins: dict[str, packages.Pin], folder: Path, site: Path) -> None:
    """For a host that has no pip."""
    wheels = folder.parent / "wheels"
    packages.fetch(pins, wanted.python, wheels, "")
    for wheel in sorted(wheels.glob("*.whl")):
        packages.unpack(wheel, site)
    if doubled := sorted(set(packages.installed(site)) & set(HOST_PACKAGES)):
        raise Wrong(
            f"The folder of kernels has {listed(doubled)}, which BASE=host-torch leaves to the host: take it out"
        )


def _prune(site: Path, cuda: str) -> None:
    """bitsandbytes has a library for each CUDA, 25 MB each, and loads the one of torch's."""
    for library in site.glob("bitsandbytes/libbitsandbytes_cuda*.so"):
        if (of := CUDA_LIBRARY.match(library.name)) and of[1] != cuda.replace(".", ""):
            library.unlink()


def _manifest(wanted: Settings, site: Path) -> dict[str, Any]:
    """What the bundle is, and needs. Raises Wrong where the kernels were compiled against another torch."""
    pins = packages.pins(wanted.stack_locks())
    torch = pins["torch"].version.split("+")[0]
    abi = tuple(map(int, torch.split(".")[:2])) >= NEW_ABI_SINCE
    needs = {library: libraries.needs(library) for library in libraries.libraries(site)}
    for library, of in needs.items():
        if of.cxx11_abi is not None and of.cxx11_abi != abi:
            raise Wrong(f"{library.name} was compiled with the other C++ ABI than torch {torch} has: build it for that")
    glibc = max([GLIBC_OF_WHEELS if wanted.base == FULL else 0, *(of.glibc for of in needs.values())])
    host = [name for name in HOST_PACKAGES if name in pins] if wanted.base != FULL else []
    return {
        "bundle": FORMAT,
        "arch": wanted.arch,
        "stack": wanted.stack,
        "base": wanted.base,
        "python": wanted.tag,
        "platform": "linux-x86_64",
        "glibc": f"2.{glibc}" if glibc else None,
        "torch": torch,
        "cuda": wanted.cuda or None,
        "cxx11_abi": abi,
        "capabilities": list(wanted.arch_list),
        "min_driver": int(wanted.min_driver) if wanted.min_driver else None,
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
    """Of the commit that is checked out, marked where the tree differs from it; `unknown` without git."""
    return _git("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*") or "unknown"


def made_at() -> int:
    """Seconds since the epoch: the commit's own time, so that the same commit gives the same bytes."""
    return int(_git("log", "-1", "--format=%ct") or 0)


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def build_kernels(wanted: Settings, folder: Path) -> None:
    """Compile them in the builder stages of the image, with a container engine. Raises Wrong where that fails; what the
    engine says goes to the terminal."""
    base_image = f"docker.io/library/python:{wanted.python}-slim-bookworm"
    environment = {"BASE_IMAGE": base_image, **{name: value for name, value in os.environ.items() if value}}
    command = ["images/build.sh", "--kernels", str(folder), wanted.arch, wanted.stack]
    sys.stdout.flush()
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0:
        raise Wrong("Without compiled kernels there is no bundle: name a folder of prebuilt ones with KERNELS=")


def needs_kernels(wanted: Settings) -> bool:
    """Whether anything has to be compiled for the architecture."""
    return wanted.arch != CPU
