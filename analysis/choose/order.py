"""The order of rows: those that meet the limits first, then by evidence, price and speed."""

from __future__ import annotations

import math

from analysis.choose.candidate import BASES
from analysis.choose.chooserow import ChooseRow
from analysis.choose.ruling import STANDINGS

Place = tuple[int, bool, float, float]


def order(row: ChooseRow) -> tuple[int, Place]:
    """Returns the sort key of a row."""
    return STANDINGS.index(row.standing), place(row)


def place(row: ChooseRow) -> Place:
    """Returns the sort key among rows that meet the limits alike: the stronger evidence first, flagged rows after clean
    ones, then the cheaper, then the faster. A row without a price comes last."""
    price = math.inf if row.usd_per_mtok is None else row.usd_per_mtok
    return BASES.index(row.basis), bool(row.flags), price, row.step_wall_ms
