"""code_key and tree_key: which code and data made a record."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from runner.record import sourcetext

PACKAGE = Path(__file__).resolve().parent.parent
KEY_LENGTH = 12
_read_files: set[Path] = set()


def read_data(name: str) -> Any:
    """Returns what a YAML data file of this package holds; it counts as loaded from then on."""
    path = Path(__file__).with_name(name)
    _read_files.add(path)
    return _parsed(path)


@cache
def _parsed(path: Path) -> Any:
    """Parsing takes longer than all that `verify` asks of a record."""
    import yaml  # not needed for a key, which whoever builds an image computes with Python alone

    return yaml.safe_load(path.read_text(encoding="utf-8"))


def code_key() -> str:
    """Returns a hash of the project's modules and data files that this process has loaded so far.

    It depends on what decides their behaviour (`sourcetext.essence`), and not on where they lie: an edit of a comment
    or a docstring, or a move to another package, leaves it. The keys of older records hash whole files with
    their paths.
    """
    return _content_key(_loaded() | _read_files)


def _loaded() -> set[Path]:
    """Returns the files of the loaded modules: those in this folder, and those of its packages that lie elsewhere."""
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    return {
        Path(file)
        for name, file in files.items()
        if file and (name.startswith(f"{PACKAGE.name}.") or PACKAGE in Path(file).parents)
    }


def _content_key(paths: Iterable[Path]) -> str:
    contents = filter(None, map(_content, paths))
    hashes = sorted(hashlib.sha256(content.encode()).hexdigest() for content in contents)
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:KEY_LENGTH]


def _content(path: Path) -> str:
    """Returns what a file decides; nothing for a module that holds no code."""
    text = path.read_text(encoding="utf-8")
    return sourcetext.essence(text) if path.suffix == ".py" else text.replace("\r", "")


def tree_key() -> str:
    """Returns a hash of every module and data file of the package, loaded or not.

    An image and a bundle name by it what they were built from.
    """
    found = (path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".yaml"))
    return _tree_hash(path for path in found if not _is_hidden(path))


def _is_hidden(path: Path) -> bool:
    """Returns whether editors or other systems left it there."""
    return any(part.startswith(".") for part in path.relative_to(PACKAGE).parts)


def _tree_hash(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(PACKAGE)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:KEY_LENGTH]


if __name__ == "__main__":
    print(tree_key())
