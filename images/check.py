"""Checks, inside an image, that it matches its labels (images/check.sh starts it there). Prints the results.

No GPU is needed: libraries are loaded and listed, nothing is launched.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from runner import registry
from runner.declarations import KernelDeclaration
from runner.installation import Installation
from runner.record import codekey

SITE = Path(sysconfig.get_path("purelib"))
BUILD_AGAIN = "correct images/ if that is the cause, then build the image again (`make image-ARCH`)"
BUILD_FILES = (Path("/etc/pip.conf"), Path("/run/secrets"), Path("/root/.cache"))


class Wrong(Exception):
    """A fault of the image, in one line."""


def check_code(tree_key: str) -> None:
    """Checks that the copied package is the one in the label."""
    if (actual := codekey.tree_key()) != tree_key:
        raise Wrong(f"tree_key is {actual}, the label says {tree_key}")
    print(f"tree_key {actual}")


def check_user() -> None:
    """Checks that the user is not root, that only /tmp is writable, and that no build settings remain."""
    if os.getuid() == 0:
        raise Wrong("it runs as root")
    remaining = [name for name in os.environ if name.startswith(("PIP_", "SSL_", "CURL_", "REQUESTS_"))]
    remaining += [str(path) for path in BUILD_FILES if _has_content(path)]
    if remaining:
        raise Wrong(f"it contains settings of the build: {', '.join(remaining)}")
    Path("/tmp/written").touch()
    print(f"user {os.getuid()}, no settings of the build left")


def _has_content(path: Path) -> bool:
    try:
        return path.is_file() or (path.is_dir() and any(path.iterdir()))
    except PermissionError:  # only root can read it, so the worker cannot either
        return False


def check_kernels(stack: str) -> None:
    """Checks that the packages of the stack's kernels can be imported, and that torch loads their compiled
    operators."""
    import torch

    print(f"torch {torch.__version__}, CUDA {torch.version.cuda}")
    for kernel in _kernels_of(stack):
        if kernel.module is not None:
            importlib.import_module(kernel.module)
            print(f"imported {kernel.module} for kernel={kernel.name}")
        for library in _operators(kernel.installation):
            torch.ops.load_library(str(library))
            namespace = getattr(torch.ops, library.stem.removesuffix("_ops"))
            print(f"loaded {library.name}: {namespace}")


def _kernels_of(stack: str) -> Iterator[KernelDeclaration]:
    for name in registry.kernel_names():
        kernel = registry.kernel(name).DECLARATION
        if "cpu" in kernel.devices if stack == "cpu" else stack in kernel.stacks:
            yield kernel


def check_architectures(expected: set[str], cuobjdump: str) -> None:
    """Checks that each compiled library has machine code of exactly the expected architectures, and no PTX.

    A driver would compile PTX for other architectures.
    """
    libraries = [library for kernel in registry.kernel_declarations() for library in _compiled(kernel.installation)]
    if bool(libraries) != bool(expected):
        raise Wrong(f"for {sorted(expected)} it has the libraries {[library.name for library in libraries]}")
    for library in libraries:
        compiled_for = set(re.findall(r"\.(sm_\w+)\.cubin", _listing(cuobjdump, "--list-elf", library)))
        if compiled_for != expected:
            raise Wrong(f"{library.name} has code of {sorted(compiled_for)}, not of {sorted(expected)}")
        if ".ptx" in _listing(cuobjdump, "--list-ptx", library):
            raise Wrong(f"{library.name} has PTX")
        print(f"{library.name}: {', '.join(sorted(compiled_for))}, no PTX, {library.stat().st_size / 1e6:.1f} MB")


def _operators(installation: Installation) -> list[Path]:
    """Returns a kernel's compiled libraries with operators of torch, if they are installed."""
    is_here = any((SITE / name).exists() for name in installation.operators)
    return list(_compiled(installation)) if is_here else []


def _compiled(installation: Installation) -> Iterator[Path]:
    """Yields the libraries that images/kernels/compile.py compiled for a kernel."""
    for pattern in installation.compiled:
        yield from sorted(SITE.glob(pattern))


def _listing(cuobjdump: str, option: str, library: Path) -> str:
    done = subprocess.run([cuobjdump, option, str(library)], capture_output=True, text=True)
    if done.returncode != 0 and "No PTX" not in done.stderr:
        raise Wrong(f"cuobjdump {option} cannot read {library.name} ({done.stderr.strip()})")
    return done.stdout


def main(cuobjdump: str, stack: str, arch_list: str, tree_key: str) -> None:
    """Checks the image that this runs in. Raises Wrong for the first fault."""
    check_code(tree_key)
    check_user()
    check_kernels(stack)
    check_architectures({f"sm_{name.replace('.', '')}" for name in arch_list.split()}, cuobjdump)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Wrong as error:
        sys.exit(f"wrong: {error}: {BUILD_AGAIN}")
