"""code_key and tree_key: hashes of the code and data that made a record."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tokenize
from collections.abc import Iterable, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from runner.record import sourcetext

PACKAGE = Path(__file__).resolve().parent.parent
KEY_LENGTH = 12
PATH_PATTERN = "^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$"
"""Form of a file's path in a record: relative to the package, with slashes, and not out of the package."""
Hashes: TypeAlias = MutableMapping[str, str | None]
"""Suffix and hash of a file's bytes → hash of the part that affects behaviour."""
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
    return _content_key(_covered_files())


def code_files() -> tuple[str, ...] | None:
    """Returns the sorted paths of the files that `code_key` covers, relative to the package. None if a file lies
    outside it, because its path would be private and of no use to others.
    """
    files = _covered_files()
    if not all(PACKAGE in file.parents for file in files):
        return None
    return tuple(sorted(file.relative_to(PACKAGE).as_posix() for file in files))


def key_of_files(paths: Iterable[str], hashes: Hashes) -> str | None:
    """Returns the key that the files at these paths of the package have now, for comparison with a record's `code_key`.

    None if a file is missing, cannot be read, or is not inside the package. Contents whose hash is in `hashes` are not
    analysed again; the others are added.
    """
    try:
        return _key_of_hashes(_content_hash(_inside(path), hashes) for path in paths)
    except (OSError, ValueError, SyntaxError, tokenize.TokenError):  # the last three: it is being edited
        return None


def _inside(path: str) -> Path:
    """Returns the file of a path in the package. Raises ValueError if the path could lead out of it."""
    if not re.fullmatch(PATH_PATTERN, path):
        raise ValueError(f"{path!r} is no path inside the package")
    return PACKAGE / path


def _covered_files() -> set[Path]:
    return {Path(os.path.realpath(file)) for file in _loaded_files() | _read_files}


def _loaded_files() -> set[Path]:
    """Returns the files of the project's loaded modules, also of those that lie outside the package's folder."""
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    return {
        Path(file)
        for name, file in files.items()
        if file and (name.startswith(f"{PACKAGE.name}.") or PACKAGE in Path(file).parents)
    }


def _content_key(paths: Iterable[Path]) -> str:
    return _key_of_hashes(_content_hash(path, {}) for path in paths)


def _key_of_hashes(hashes: Iterable[str | None]) -> str:
    return hashlib.sha256("".join(sorted(filter(None, hashes))).encode()).hexdigest()[:KEY_LENGTH]


def _content_hash(path: Path, hashes: Hashes) -> str | None:
    """Returns the hash of the part of a file that affects behaviour; None for a module without code."""
    data = path.read_bytes()
    name = f"{path.suffix} {hashlib.sha256(data).hexdigest()}"
    if name not in hashes:
        content = _content(data.decode(), path.suffix)
        hashes[name] = hashlib.sha256(content.encode()).hexdigest() if content else None
    return hashes[name]


def _content(text: str, suffix: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # as Python reads a text file
    return sourcetext.essence(text) if suffix == ".py" else text


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
