"""Whether a module can be imported, without importing it."""

from __future__ import annotations

import importlib.util


def is_findable(module: str) -> bool:
    """Returns whether Python finds a module, also of a package that is missing itself."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # find_spec imports the packages that contain it
        return False
