"""Reach of a function of this project, read from the source: other functions, methods and constants.

A method counts as reached if its class is named somewhere that is reached, and its own name as an attribute likewise.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNKNOWN = "…"
"""Stands for a part of a text that only a run knows."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Piece:
    """A function, method, class or constant at the top of a module. A class's methods are pieces of their own."""

    module: str
    name: str
    node: ast.AST = field(compare=False, repr=False)
    imports: Mapping[str, str] = field(compare=False, repr=False)
    """name → what it stands for here, as `module` or `module.name`"""

    @property
    def full_name(self) -> str:
        return f"{self.module}.{self.name}"

    def body(self) -> Iterator[ast.AST]:
        """Yields the nodes below it, without a class's methods and without docstrings."""
        stack = [self.node]
        while stack:
            node = stack.pop()
            yield node
            for child in ast.iter_child_nodes(node):
                is_method = isinstance(node, ast.ClassDef) and isinstance(child, Function)
                is_docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
                if not is_method and not is_docstring:
                    stack.append(child)


class Source:
    """The modules of some packages."""

    def __init__(self, *packages: str) -> None:
        paths = [path for package in packages for path in (ROOT / package).rglob("*.py")]
        self.modules = {
            ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
                path.read_text()
            )
            for path in paths
        }

    @cached_property
    def pieces(self) -> dict[str, Piece]:
        """The pieces by their full name."""
        found: dict[str, Piece] = {}
        for module, tree in self.modules.items():
            top = self._imports(module, tree.body)
            own = {name: f"{module}.{name}" for statement in tree.body for name in _defined(statement)}
            for statement in tree.body:
                for name, node in _parts(statement):
                    shadowed = set(_variables(node))
                    outer = {key: value for key, value in {**own, **top}.items() if key not in shadowed}
                    inner = self._imports(module, ast.walk(node))
                    found[f"{module}.{name}"] = Piece(module, name, node, {**outer, **inner})
        return found

    def _imports(self, module: str, nodes: Iterator[ast.AST] | list[ast.stmt]) -> dict[str, str]:
        found: dict[str, str] = {}
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and node.module:
                found.update({each.asname or each.name: f"{node.module}.{each.name}" for each in node.names})
            elif isinstance(node, ast.Import):
                found.update({each.asname or each.name: each.name for each in node.names if each.asname})
            elif isinstance(node, ast.If):  # TYPE_CHECKING
                found.update(self._imports(module, node.body))
        return found

    def named(self, piece: Piece, node: ast.AST) -> str | None:
        """Returns the full name of the piece or module that a name or an attribute stands for."""
        if isinstance(node, ast.Name):
            return self._resolved(piece.imports.get(node.id))
        if isinstance(node, ast.Attribute):
            of = self.named(piece, node.value)
            return None if of is None else self._resolved(f"{of}.{node.attr}")
        return None

    def _resolved(self, name: str | None) -> str | None:
        """Returns the name of the piece itself for a name that a module has imported from another."""
        seen = set()
        while name is not None and name not in self.pieces and name not in self.modules and name not in seen:
            seen.add(name)
            module, _, last = name.rpartition(".")
            if module not in self.modules:
                return None
            name = self._imports(module, self.modules[module].body).get(last)
        return name

    def reached(self, start: list[str]) -> dict[str, Piece]:
        """Returns the pieces that these can reach, with themselves."""
        found: dict[str, Piece] = {}
        attributes: set[str] = set()
        waiting = list(start)
        while waiting:
            while waiting:
                name = waiting.pop()
                if name in found or name not in self.pieces:
                    continue
                piece = found[name] = self.pieces[name]
                for node in piece.body():
                    if isinstance(node, ast.Attribute):
                        attributes.add(node.attr)
                    if (known := self.named(piece, node)) is not None:
                        waiting.append(known)
            waiting = [name for name, piece in self._methods(found) if name not in found and piece in attributes]
        return found

    def _methods(self, found: Mapping[str, Piece]) -> Iterator[tuple[str, str]]:
        classes = [piece for piece in found.values() if isinstance(piece.node, ast.ClassDef)]
        for piece in classes:
            assert isinstance(piece.node, ast.ClassDef)
            for each in piece.node.body:
                if isinstance(each, Function):
                    name = f"{piece.full_name}.{each.name}"
                    yield name, name.rpartition(".")[2]

    def texts(self, piece: Piece) -> Iterator[str]:
        """Yields the strings of a piece, with the constants that are put into them."""
        inner: set[ast.AST] = set()
        for node in piece.body():
            if isinstance(node, ast.JoinedStr):
                inner.update(ast.walk(node))
                yield self._joined(piece, node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inner:
                yield node.value

    def _joined(self, piece: Piece, node: ast.JoinedStr) -> str:
        return "".join(self._text(piece, part) for part in node.values)

    def _text(self, piece: Piece, node: ast.AST) -> str:
        if isinstance(node, ast.FormattedValue):
            return self._text(piece, node.value)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        constant = self.pieces.get(self.named(piece, node) or "")
        value = getattr(constant and constant.node, "value", None)
        if constant is None or value is None:
            return UNKNOWN
        return self._joined(constant, value) if isinstance(value, ast.JoinedStr) else self._text(constant, value)


def _variables(node: ast.AST) -> Iterator[str]:
    """Yields the names of a function's arguments and variables, which hide the names of its module."""
    if isinstance(node, Function):
        for each in ast.walk(node):
            if isinstance(each, ast.arg):
                yield each.arg
            elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                yield each.id


def _defined(statement: ast.stmt) -> Iterator[str]:
    yield from (name for name, _ in _parts(statement) if "." not in name)


def _parts(statement: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    """Yields the pieces of a statement at the top of a module, by name."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name, statement
    if isinstance(statement, ast.ClassDef):
        yield from ((f"{statement.name}.{each.name}", each) for each in statement.body if isinstance(each, Function))
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        yield statement.target.id, statement
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            yield from ((each.id, statement) for each in names if isinstance(each, ast.Name))
