"""The registry of tables. Each is one module of `analysis.tables`; adding one touches no other file.

A module whose name begins with `_` is no table.
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
    """Returns every table, in the order of reports."""
    names = [module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")]
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    found = [cast(Table[Row], module.TABLE) for module in modules]
    return sorted(found, key=lambda table: (table.order, table.name))


def choices() -> dict[str, Table[Row]]:
    """Returns what can be printed, by name: every table, and after it its excerpts."""
    return {name: table for table in tables() for name in (table.name, *table.excerpts)}


def table(name: str, *others: str) -> Table[Row]:
    """Returns the table of that name, or that an excerpt of that name is of. Raises UnknownName, which names `others`
    among what is allowed, too."""
    known = choices()
    return known[vocabulary.known("table", name, (*known, *others))]


def metrics() -> list[str]:
    """Returns what a frame must have for all tables."""
    return sorted({name for table in tables() for name in table.metrics})


def figure_names() -> list[str]:
    """Returns the names of all figures that a report may have."""
    return [figure.name for table in tables() for figure in table.figures]
