"""Copies of the working tree, in which bugs are planted: the checkout itself is never touched."""

from __future__ import annotations

import compileall
import hashlib
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path


def files(checkout: Path) -> list[str]:
    """Returns the paths of what git tracks or would track in a checkout, of those that exist."""
    command = ["git", "-C", str(checkout), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    return sorted({name for name in names if name and (checkout / name).is_file()})


def fingerprint(checkout: Path) -> str:
    """Returns a hash of the names and contents of the Python and YAML files of a checkout."""
    digest = hashlib.sha256()
    for name in files(checkout):
        if name.endswith((".py", ".yaml")):
            digest.update(f"{name}\0{hashlib.sha256((checkout / name).read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()


def copy(checkout: Path, tree: Path) -> None:
    """Copies the working tree of a checkout, whole or not at all, with the bytecode of its packages."""
    part = _part(tree)
    for name in files(checkout):
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(checkout / name, part / name)
    for package in ("runner", "analysis", "tests"):
        compileall.compile_dir(part / package, quiet=2)
    part.rename(tree)


def copy_again(original: Path, tree: Path) -> None:
    """Copies a copy, whole or not at all."""
    shutil.copytree(original, part := _part(tree))
    part.rename(tree)


def _part(tree: Path) -> Path:
    part = tree.with_name(f"{tree.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    return part


def restore(original: Path, tree: Path, modules: Iterable[str]) -> None:
    """Undoes the bug that a run which was killed left in a tree."""
    for module in modules:
        if (tree / module).read_bytes() != (text := (original / module).read_bytes()):
            (tree / module).write_bytes(text)
