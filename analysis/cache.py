"""What a command leaves on disk for the next one: nothing that could not be computed again.

An entry that cannot be written or read is no entry. Each is named by all that it follows from, so none can be stale.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache as once
from pathlib import Path
from typing import Any

from runner.cell.cell import short_hash
from runner.files import jsontext, plainfile


def place(*names: str) -> Path:
    """Returns where an entry lies: below XDG_CACHE_HOME or ~/.cache. Without either folder nothing is kept."""
    home = os.path.expanduser("~")
    base = Path(os.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if os.path.isabs(home) else os.devnull))
    return base.joinpath("decode-floor", *names)


def code(files: Iterable[Path]) -> str:
    """A hash of these sources: what other code made is another entry."""
    return short_hash([file.read_text(encoding="utf-8") for file in files], 24)


def load_json(entry: Path) -> Any:
    """The value that is kept there, None where there is none."""
    try:
        return jsontext.loads(plainfile.read_text(entry))
    except (OSError, ValueError):
        return None


def keep_json(entry: Path, value: Any, at_most: int) -> None:
    """Keep a value, and in its folder no more of them than `at_most`."""
    keep(entry, lambda made: made.write_text(json.dumps(value), encoding="utf-8"), at_most)


def keep(entry: Path, make: Callable[[Path], object], at_most: int) -> None:
    """Make a file or a folder at the path that `make` gets; it becomes the entry as a whole or not at all."""
    with suppress(OSError):
        entry.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=entry.parent))
        try:
            make(scratch / entry.name)
            os.replace(scratch / entry.name, entry)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        _forget_oldest(entry.parent, at_most)


@once
def _forget_oldest(folder: Path, at_most: int) -> None:
    """Once a process: to look through a folder takes longer than to write into it."""
    entries = [one for one in folder.iterdir() if not one.name.startswith(".")]
    for old in sorted(entries, key=lambda one: one.stat().st_mtime_ns, reverse=True)[at_most:]:
        shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)
