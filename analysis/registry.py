"""The registry of tables. Each table is one module of `analysis.tables`; adding one changes no other file.

A module whose name begins with `_` is not a table.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import cast

from analysis import tables as package
from analysis.row import Row
from analysis.table import Table
from runner.cell import vocabulary


def tables() -> list[Table[Row]]:
    """Returns all tables in the order of the report."""
    names = [module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")]
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    declared = [cast(Table[Row], module.TABLE) for module in modules]
    return sorted(declared, key=lambda table: (table.order, table.name))


def choices() -> dict[str, Table[Row]]:
    """Returns tables by the names that can be printed: each table's own and those of its excerpts."""
    return {name: table for table in tables() for name in (table.name, *table.excerpts)}


def table(name: str, *others: str) -> Table[Row]:
    """Returns the table with that name or with an excerpt of that name. Raises UnknownName.

    The error lists `others` among the allowed names.
    """
    known = choices()
    return known[vocabulary.checked_name("table", name, (*known, *others))]


def metrics() -> list[str]:
    """Returns the metrics and columns that a frame must have for all tables."""
    return sorted({name for table in tables() for name in table.metrics})


def figure_names() -> list[str]:
    """Returns the names of all figures that a report may have."""
    return [figure.name for table in tables() for figure in table.figures]
