"""The modules that bugs are planted in, by room, and the tests that belong to each (rooms.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Room:
    """Modules that decide one kind of thing, and the test files that go through several of them."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


@cache
def rooms() -> Mapping[str, Room]:
    """Returns the rooms by name."""
    entries = yaml.safe_load(Path(__file__).with_name("rooms.yaml").read_text(encoding="utf-8"))
    return {name: Room(tuple(entry["modules"]), tuple(entry["tests"])) for name, entry in entries.items()}


def modules() -> tuple[str, ...]:
    """Returns the paths of all modules, room by room."""
    return tuple(module for room in rooms().values() for module in room.modules)


def room(module: str) -> Room:
    """Returns the room of a module."""
    return next(room for room in rooms().values() if module in room.modules)


def own_tests(module: str) -> str:
    """Returns the path of the test file of a module's name: runner/plan/fit.py has tests/runner/plan/test_fit.py."""
    path = Path(module)
    return str(Path("tests") / path.parent / f"test_{path.name.lstrip('_')}")


def local_tests(module: str, root: Path = ROOT) -> tuple[str, ...]:
    """Returns the test files of a module: the file of its name, then those of its room.

    Exits where there is none, or where one that rooms.yaml names does not exist.
    """
    if missing := [name for name in room(module).tests if not (root / name).is_file()]:
        raise SystemExit(f"{module}: {missing[0]} does not exist; correct tests/planted/rooms.yaml")
    own = own_tests(module)
    files = tuple(dict.fromkeys((*([own] if (root / own).is_file() else ()), *room(module).tests)))
    if not files:
        raise SystemExit(f"{module} has no tests: add {own}, or name its room's tests in tests/planted/rooms.yaml")
    return files
