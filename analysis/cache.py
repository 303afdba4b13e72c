"""On-disk cache of values that can be recomputed.

An entry that cannot be written or read is ignored. Its name is a hash of everything it depends on, so it cannot be
stale.
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


def entry_path(*names: str) -> Path:
    """Returns the path of an entry, below XDG_CACHE_HOME or ~/.cache. Without either folder nothing is cached."""
    home = os.path.expanduser("~")
    base = Path(os.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if os.path.isabs(home) else os.devnull))
    return base.joinpath("decode-floor", *names)


def code(files: Iterable[Path]) -> str:
    """Returns a hash of these source files, so that a change of the code makes a new entry."""
    return short_hash([file.read_text(encoding="utf-8") for file in files], 24)


def load_json(entry: Path) -> Any:
    """Returns the value of an entry, None if there is none."""
    try:
        return jsontext.loads(plainfile.read_text(entry))
    except (OSError, ValueError):
        return None


def keep_json(entry: Path, value: Any, at_most: int) -> None:
    """Writes a value as JSON, and limits its folder to `at_most` entries."""
    keep(entry, lambda path: path.write_text(json.dumps(value), encoding="utf-8"), at_most)


def keep(entry: Path, make: Callable[[Path], object], at_most: int) -> None:
    """Writes an entry atomically: `make` gets a scratch path and creates a file or a folder there."""
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
    """Deletes the oldest entries beyond `at_most`. Runs once per process, since listing a folder is slower than a
    write."""
    entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    for old in sorted(entries, key=lambda path: path.stat().st_mtime_ns, reverse=True)[at_most:]:
        shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)
