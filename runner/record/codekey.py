"""code_key and tree_key: which code and data made a record."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent
KEY_LENGTH = 12
_read_files: set[Path] = set()


def read_data(name: str) -> Any:
    """A YAML data file of the worker's room; it counts as loaded from then on."""
    import yaml  # not needed for a key, which whoever builds an image computes with Python alone

    path = Path(__file__).with_name(name)
    _read_files.add(path)
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def code_key() -> str:
    """Hash of the project's modules and data files that this process has loaded so far."""
    modules = (getattr(module, "__file__", None) for name, module in sorted(sys.modules.items()))
    loaded = {Path(file) for file in modules if file and PACKAGE in Path(file).parents}
    return _hash(loaded | _read_files)


def tree_key() -> str:
    """Hash of every module and data file of the package, loaded or not: what an image or a bundle was built from."""
    found = (path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".yaml"))
    # what editors and other systems leave beside them is hidden, and no part of the package
    return _hash(path for path in found if not any(part.startswith(".") for part in path.relative_to(PACKAGE).parts))


def _hash(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(PACKAGE)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:KEY_LENGTH]


if __name__ == "__main__":
    print(tree_key())
