"""Rows held out of a fit: the folds, each with the constants of all other rows.

Models whose layers have equal shapes are no independent test of each other: they are also held out together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from analysis.prediction.observations import Observation

GPU, MODEL, LAYERS, HOST, ROW = "gpu", "model", "layers", "host", "row"


@dataclass(frozen=True)
class Fold:
    """Rows that are held out, and the rest that the constants are fitted on. `kind` is what the rows have in common."""

    kind: str
    name: str
    held_out: Sequence[Observation]
    rest: Sequence[Observation]


def cards(observed: Sequence[Observation]) -> Iterator[Fold]:
    """Yields a fold for each GPU."""
    return _folds(GPU, observed, lambda row: row.gpu)


def models(observed: Sequence[Observation]) -> Iterator[Fold]:
    """Yields a fold for each model."""
    return _folds(MODEL, observed, lambda row: row.model)


def layers(observed: Sequence[Observation]) -> Iterator[Fold]:
    """Yields a fold for each shape of layers, with all models that have it."""
    by_shape = {row.model: (row.shape.layers, row.shape.linear_shapes) for row in observed}

    def name(row: Observation) -> str:
        return " and ".join(sorted(model for model, shape in by_shape.items() if shape == by_shape[row.model]))

    return _folds(LAYERS, observed, name)


def rows(observed: Sequence[Observation]) -> Iterator[Fold]:
    """Yields a fold for each row."""
    for place, row in enumerate(observed):
        yield Fold(ROW, row.name, [row], [*observed[:place], *observed[place + 1 :]])


def hosts(observed: Sequence[Observation]) -> Iterator[Fold]:
    """Yields a fold for each host: its own sessions, and those of all others."""
    for host in sorted({each.host for row in observed for each in row.sessions}):
        own = (replace(row, sessions=tuple(each for each in row.sessions if each.host == host)) for row in observed)
        others = (replace(row, sessions=tuple(each for each in row.sessions if each.host != host)) for row in observed)
        yield Fold(HOST, host, *([row for row in rows_ if row.sessions] for rows_ in (own, others)))


def _folds(kind: str, observed: Sequence[Observation], key: Callable[[Observation], str]) -> Iterator[Fold]:
    for name in sorted({key(row) for row in observed}):
        held_out = [row for row in observed if key(row) == name]
        yield Fold(kind, name, held_out, [row for row in observed if key(row) != name])
