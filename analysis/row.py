"""Rows of tables: frozen dataclasses whose fields are the keys of their JSON and CSV, in that order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from runner.cell import jsonform
from runner.cell.cell import short_hash

GROUP = ("cell_key", "protocol", "code_key", "env_key", "status", "valid")
"""The fields that the sessions of one row have in common."""


class Row:
    """A row of a table. Its class is a frozen dataclass; what a table shows beside the fields are properties."""

    def value(self, key: str) -> object:
        """Returns what a column shows of the row: a field, or a property."""
        return getattr(self, key)

    @property
    def anchor(self) -> str | None:
        """The anchor of the row's origin in a report; None if the row has none."""
        return None

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as a JSON object."""
        return cast(dict[str, Any], jsonform.to_json(self))


@dataclass(frozen=True)
class CellRow(Row):
    """A row of the sessions of one cell. Each kind of such rows has the fields of `GROUP`, too."""

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
    """type of what is not packed"""

    @property
    def anchor(self) -> str | None:
        return group_anchor(self.value(key) for key in GROUP)


def group_anchor(values: Iterable[object]) -> str:
    """Returns the anchor of the group with these values of `GROUP`."""
    return f"group-{short_hash(list(values), 10)}"


def ab_anchor(name: str) -> str:
    """Returns the anchor of an A/B."""
    return f"ab-{name}"
