"""Protocols by their titles, such as `paper-5-30` or `tail-long-5-10x300`, as rows have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from runner.cell import protocol
from runner.cell.vocabulary import DEFAULT_PROTOCOL, TAILS

USUAL = protocol.NAMED[DEFAULT_PROTOCOL].title


class OfOneCell(Protocol):
    """A row of sessions of one cell in one protocol."""

    @property
    def cell_key(self) -> str: ...
    @property
    def protocol(self) -> str: ...


R = TypeVar("R", bound=OfOneCell)


def is_tail(title: str) -> bool:
    """Returns whether the wall pass of the protocol has more steps than the other passes."""
    name, _, steps = title.rsplit("-", 2)
    return name in TAILS or "x" in steps


def short(title: str) -> str:
    """Returns the title without the steps that its name implies; empty for the default protocol."""
    name = title.rsplit("-", 2)[0]
    return "" if title == USUAL else name if name in protocol.NAMED else title


def comparable(rows: Sequence[R]) -> list[R]:
    """Returns the rows of the default protocol, and those of others only for cells that have none of it.

    Other protocols, such as that of tails, time more steps of the same cell, and would show it twice.
    """
    usual = {row.cell_key for row in rows if row.protocol == USUAL}
    return [row for row in rows if row.protocol == USUAL or row.cell_key not in usual]
