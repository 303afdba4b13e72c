"""Short names of rows for figures: the fields that a figure names, and those that tell a row from others of that
name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

from analysis import form
from analysis.row import CellRow, Row

R = TypeVar("R", bound=Row)

UNQUANTISED = "bf16"
CANDIDATES = ("cache", "dtype", "attention", "options", "scheme", "weights_id", "protocol", "env_key", "code_key")
"""Fields that may tell rows apart, the most telling first."""


def weights(row: CellRow) -> str:
    """Returns the format of the weights and its kernel; of unquantised weights their dtype."""
    return row.dtype if row.quant == UNQUANTISED else f"{row.quant} {row.kernel}"


def configuration(row: CellRow) -> str:
    """Returns weights and runtime."""
    return f"{weights(row)}, {row.runtime}"


def place(row: CellRow) -> str:
    """Returns GPU, model and ctx."""
    return f"{row.gpu}, {row.model}, ctx {row.ctx}"


def names(rows: Sequence[R], base: Callable[[R], str], named: Sequence[str] = ()) -> list[str]:
    """Returns a name for each row: its base, and for rows of the same base the candidates that differ among them.

    Rows that differ in the `named` fields, which the figure shows elsewhere, need not differ in their names.
    """
    alike: dict[str, list[R]] = defaultdict(list)
    for row in rows:
        alike[base(row)].append(row)
    fields = {name: _telling(group, named) for name, group in alike.items()}
    return [" ".join([name, *_values(row, fields[name])]) for row in rows for name in (base(row),)]


def _telling(rows: Sequence[Row], named: Sequence[str]) -> list[str]:
    return form.distinguishing(rows, named, [name for name in CANDIDATES if hasattr(rows[0], name)])


def _values(row: Row, fields: Sequence[str]) -> list[str]:
    return [text] if (text := form.name(row, fields)) else []
