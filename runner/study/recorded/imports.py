"""The files that a module of the package imports as soon as it is imported itself.

`code_key` leaves out imports, so that a module may move. It therefore does not show that a name now comes from another
module.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from runner.record import codekey


def imported(path: str) -> frozenset[str]:
    """Returns the files of the package that a file of it imports first of all; paths are relative to the package.

    Imports inside functions and under conditions are left out, since they may not run. Raises OSError, ValueError or
    SyntaxError if the file cannot be read as Python.
    """
    if Path(path).suffix != ".py":
        return frozenset()
    tree = ast.parse((codekey.PACKAGE / path).read_text(encoding="utf-8"))
    return frozenset(_file(name.split(".")[1:]) for node in tree.body for name in _names(node))


def _names(node: ast.stmt) -> Iterator[str]:
    """Yields the dotted names that a statement imports from the package: of modules, or of things in them."""
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    yield from (name for name in names if name.split(".")[0] == codekey.PACKAGE.name)


def _file(parts: list[str]) -> str:
    """Returns the file of a dotted name: its own, or else that of the module that the name is in."""
    if not parts:
        return "__init__.py"
    for file in (Path(*parts).with_suffix(".py"), Path(*parts, "__init__.py")):
        if (codekey.PACKAGE / file).is_file():
            return file.as_posix()
    return _file(parts[:-1])
