"""Expansion of a study's matrix: the product of its values, without `exclude`, then the cells of `include`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

from runner.cell.vocabulary import AUTO
from runner.errors import BadPair
from runner.files.yamlnode import Node
from runner.study.declaration import choices
from runner.study.declaration.choices import Choices

MOST_CELLS = 100_000
"""Cells of a study. Some lists of a few values each have a product that fills the memory."""
Fields: TypeAlias = Mapping[str, str]
"""Field of a request → value."""


@dataclass(frozen=True)
class Part:
    """The matrix, or one mapping of `include` or `exclude`."""

    node: Node
    fields: Choices

    @classmethod
    def read(cls, node: Node) -> Part:
        """Returns the part that the mapping declares. Raises as `choices.read`."""
        return cls(node, choices.read(node))

    @property
    def size(self) -> int:
        """Returns the number of combinations."""
        return math.prod(len(choice.values) for choice in self.fields.values())


def expanded(matrix: Part | None, include: Sequence[Part], exclude: Sequence[Part]) -> list[tuple[Fields, Node]]:
    """Returns the fields of each cell, and the part of the file from which it comes.

    Raises BadPair if there are too many cells, if a mapping of `exclude` matches no cell of the matrix, all that are
    left, or one of `include`, or if a cell occurs twice.
    """
    _check_size([*([matrix] if matrix else []), *include])
    cells: list[tuple[Fields, Node]]
    cells = [] if matrix is None else [(fields, matrix.node) for fields in _matrix_cells(matrix, exclude)]
    inherited = {} if matrix is None else _single(matrix)
    for part in include:
        cells += (({**inherited, **fields}, part.node) for fields in _product(part.fields))
    if include:
        _check_included(cells, exclude)
    return cells


def _check_size(parts: Sequence[Part]) -> None:
    total = 0
    for part in parts:
        total += part.size
        if total > MOST_CELLS:
            raise part.node.error(f"{total} cells are too many for one study (at most {MOST_CELLS}): divide it")


def _product(fields: Choices) -> Iterator[dict[str, str]]:
    for values in product(*(choice.values for choice in fields.values())):
        yield dict(zip(fields, values, strict=True))


def _matrix_cells(matrix: Part, exclude: Sequence[Part]) -> Iterator[Fields]:
    left_out = _left_out(matrix, exclude)
    for fields in _product(matrix.fields):
        if tuple(fields.values()) not in left_out:
            yield fields


def _left_out(matrix: Part, exclude: Sequence[Part]) -> set[tuple[str, ...]]:
    """Returns the combinations of the matrix's values that `exclude` leaves out."""
    left_out: set[tuple[str, ...]] = set()
    for part in exclude:
        _check_known(part, matrix)
        before = len(left_out)
        chosen = {**matrix.fields, **part.fields}
        left_out.update(product(*(chosen[name].values for name in matrix.fields)))
        if len(left_out) == before:
            raise part.node.error("all of these cells are left out by earlier items: remove this one", BadPair)
        if len(left_out) == matrix.size:
            raise part.node.error("leaves no cell of the matrix: remove it, or name more fields in it", BadPair)
    return left_out


def _check_known(part: Part, matrix: Part) -> None:
    for name, choice in part.fields.items():
        if name not in matrix.fields:
            raise choice.node.error(f"matches nothing: the matrix has no {name}: remove it", BadPair)
        known = matrix.fields[name].values
        for value, node in choice.values.items():
            if value not in known:
                raise node.error(
                    f"matches nothing: the matrix has no {name}={value} (it has {', '.join(known)}): correct it",
                    BadPair,
                )


def _single(matrix: Part) -> Fields:
    """Returns the fields of the matrix that have one value, which the cells of `include` inherit."""
    values = {name: choice.only_value for name, choice in matrix.fields.items()}
    return {name: value for name, value in values.items() if value is not None}


def _check_included(cells: Sequence[tuple[Fields, Node]], exclude: Sequence[Part]) -> None:
    """Raises BadPair for a cell that occurs twice, and for one of `include` that `exclude` matches."""
    seen: dict[frozenset[tuple[str, str]], Node] = {}
    for fields, node in cells:
        cell = frozenset((name, value) for name, value in fields.items() if value != AUTO)
        if cell in seen:
            raise node.error(f"repeats a cell of {seen[cell].place} ({_words(fields)}): remove one of them", BadPair)
        seen[cell] = node
    for fields, node in cells:
        for part in exclude:
            if all(fields.get(name, AUTO) in choice.values for name, choice in part.fields.items()):
                raise part.node.error(
                    f"leaves out a cell that {node.place} adds ({_words(fields)}): correct one of them", BadPair
                )


def _words(fields: Fields) -> str:
    return " ".join(f"{name}={value}" for name, value in fields.items())
