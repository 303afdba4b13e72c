"""Rows of tables: frozen dataclasses. Their fields, in order, are the keys of the JSON and CSV output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from runner.cell import jsonform
from runner.cell.cell import short_hash

GROUP = ("cell_key", "protocol", "code_key", "env_key", "status", "valid")
"""Fields that the sessions of one row have in common."""
ROWS, SESSIONS = "rows-", "set-"
"""Beginnings of the anchors of rows with several origins, and of sessions that are no group."""


class Row:
    """A row of a table. Subclasses are frozen dataclasses; columns that are no fields are properties."""

    def value(self, key: str) -> object:
        """Returns the value of a column: a field or a property."""
        return getattr(self, key)

    @property
    def anchor(self) -> str | None:
        """Returns the id, without `#`, of the part of a report that lists the row's sessions; None if there is none."""
        return None

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as a JSON object."""
        return cast(dict[str, Any], jsonform.to_json(self))


@dataclass(frozen=True)
class CellRow(Row):
    """A row of the sessions of one cell. Subclasses also have the fields of `GROUP`."""

    gpu: str
    """the GPU's name in the catalogue"""
    model: str
    """the model's name in the catalogue"""
    ctx: int
    """tokens"""
    quant: str
    """weight format"""
    kernel: str
    """the kernel that multiplies the weights"""
    runtime: str
    """how a step is executed"""
    cache: str
    """kind of KV cache"""
    dtype: str
    """dtype of everything that is not packed"""

    @property
    def anchor(self) -> str | None:
        return group_anchor(self.value(key) for key in GROUP)


class TracedRow(Row):
    """A row that is derived from groups of sessions, from A/Bs, or from sessions of its own. Subclasses are frozen
    dataclasses with the field `origins`: ids of sessions by the anchor of their origin in a report."""

    origins: Mapping[str, Sequence[str]]

    @property
    def label(self) -> str:
        """Returns the row's name among the derived rows of a report."""
        raise NotImplementedError

    @property
    def origin_names(self) -> list[str]:
        """Returns the anchors of the origins."""
        return [*self.origins]

    @property
    def anchor(self) -> str | None:
        """Returns the only origin, or an anchor of the row itself that leads to all of them."""
        names = self.origin_names
        return names[0] if len(names) == 1 else f"{ROWS}{short_hash(names, 10)}" if names else None


def group_anchor(values: Iterable[object]) -> str:
    """Returns the anchor of the group with these values of `GROUP`."""
    return f"group-{short_hash(list(values), 10)}"


def sessions_anchor(sessions: Sequence[str]) -> str:
    """Returns the anchor of these sessions, which are neither a group nor an A/B."""
    return f"{SESSIONS}{short_hash(list(sessions), 10)}"


def ab_anchor(name: str) -> str:
    """Returns the anchor of an A/B."""
    return f"ab-{name}"
