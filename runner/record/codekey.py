"""code_key and tree_key: hashes of the code and data that made a record."""

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
    """Returns the content of a YAML data file of this package, and adds the file to those that `code_key` covers."""
    path = Path(__file__).with_name(name)
    _read_files.add(path)
    return _parsed(path)


def read_source(path: Path) -> str:
    """Returns the text of a source that is compiled in this session, and adds the file to those that `code_key`
    covers.
    """
    _read_files.add(path)
    return path.read_text(encoding="utf-8")


@cache
def _parsed(path: Path) -> Any:
    """Returns the parsed file. Cached, since parsing takes longer than all checks that `verify` makes of a record."""
    import yaml  # imported here, because the build of an image computes a key with the standard library alone

    return yaml.safe_load(path.read_text(encoding="utf-8"))


def code_key() -> str:
    """Returns a hash of the modules of the package `runner` that this process has loaded so far, of formats, kernels
    and runtimes found elsewhere, and of the data files that `read_data` has read. The catalogue is not in it.

    It depends on the code alone (`sourcetext.essence`). An edit of a comment or a docstring, or a move to another
    package, does not change it. The keys of older records are hashes of whole files with their paths.
    """
    return _content_key(_loaded_files() | _read_files)


def _loaded_files() -> set[Path]:
    """Returns the files of the project's loaded modules, also of those that lie outside the package's folder."""
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
    """Returns the part of a file that affects behaviour; empty for a module without code."""
    text = path.read_text(encoding="utf-8")
    return sourcetext.essence(text) if path.suffix == ".py" else text.replace("\r", "")


def tree_key() -> str:
    """Returns a hash of every module and data file of the package, loaded or not.

    Images and bundles name the code they were built from by this key.
    """
    paths = (path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".yaml", ".cu", ".cuh"))
    return _tree_hash(path for path in paths if not _is_hidden(path))


def _is_hidden(path: Path) -> bool:
    """Returns whether the path is hidden: a file that an editor or another system left."""
    return any(part.startswith(".") for part in path.relative_to(PACKAGE).parts)


def _tree_hash(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(PACKAGE)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:KEY_LENGTH]


if __name__ == "__main__":
    print(tree_key())
