"""The modules that bugs are planted in, and the tests that belong to each (rooms.yaml)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


@cache
def _data() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("rooms.yaml").read_text(encoding="utf-8"))
    return loaded


def modules() -> tuple[str, ...]:
    """Returns the paths of the modules, room by room."""
    return tuple(module for room in _data()["rooms"].values() for module in room)


def local_tests(module: str, root: Path = ROOT) -> tuple[str, ...]:
    """Returns the test files of a module: the file of its name, then those that rooms.yaml adds.

    Exits where there is none, or where one that rooms.yaml names does not exist.
    """
    path = Path(module)
    own = str(Path("tests") / path.parent / f"test_{path.name}")
    added = [name for name in _data()["tests"].get(module, ()) if name != own]
    if missing := [name for name in added if not (root / name).is_file()]:
        raise SystemExit(f"{module}: {missing[0]} does not exist; correct tests/planted/rooms.yaml")
    files = (*([own] if (root / own).is_file() else ()), *added)
    if not files:
        raise SystemExit(f"{module} has no tests: add {own}, or name its tests in tests/planted/rooms.yaml")
    return files
