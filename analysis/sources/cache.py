"""Frames of a store that has not changed since: kept on disk, so that the next command need not read it again.

An entry is named by the store, by a token of its state and by what was read. Whatever commits anything to the store
changes the token; an entry that cannot be written or read is no entry.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars

from analysis.sources.frame import Frame
from runner.ab import manifest
from runner.cell import short_hash

LAYOUT = 1
ENTRIES = 12  # of one store: a few tables of its newest states
SESSIONS, REST = "sessions.arrow", "rest.json"
TOKEN_HEADER = slice(24, 28)
"""Where an SQLite file counts its transactions (sqlite.org/fileformat.html, "File change counter")."""


def sqlite_token(file: Path) -> str:
    """Of an SQLite file's state: what its header counts, and when it and its log were written."""
    with open(file, "rb") as opened:
        counter = opened.read(TOKEN_HEADER.stop)[TOKEN_HEADER].hex()
    return json.dumps([counter, *(_written(file.with_name(f"{file.name}{end}")) for end in ("", "-wal", "-journal"))])


def _written(file: Path) -> list[int] | None:
    with suppress(FileNotFoundError):
        found = file.stat()
        return [found.st_ino, found.st_size, found.st_mtime_ns]
    return None


def entry(uri: str, token: str, asked: Sequence[str]) -> Path:
    """The folder of a frame of that state of the store."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "decode-floor" / short_hash(uri, 16) / short_hash([LAYOUT, token, list(asked)], 24)


def load(place: Path) -> Frame | None:
    """The frame that is kept there, None where there is none."""
    try:
        rest = json.loads((place / REST).read_text(encoding="utf-8"))
        sessions = polars.read_ipc(place / SESSIONS)
        manifests = tuple(manifest.parse(text, str(place)) for text in rest["manifests"])
        os.utime(place)
        told = (tuple(rest[name]) for name in ("left_out", "notes"))
        return Frame(sessions, rest["cells"], rest["environments"], manifests, *told)
    except Exception:  # whatever is wrong with it, the store still has it all
        return None


def keep(place: Path, frame: Frame) -> None:
    """Keep a frame for the next command, and no more of them than `ENTRIES`."""
    rest: Mapping[str, Any] = {
        "cells": dict(frame.cells),
        "environments": dict(frame.environments),
        "manifests": [json.dumps(one.to_json()) for one in frame.manifests],
        "left_out": frame.left_out,
        "notes": frame.notes,
    }
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
        try:
            frame.sessions.write_ipc(made / SESSIONS)
            (made / REST).write_text(json.dumps(rest), encoding="utf-8")
            os.replace(made, place)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        for old in sorted(place.parent.iterdir(), key=lambda one: one.stat().st_mtime_ns, reverse=True)[ENTRIES:]:
            shutil.rmtree(old, ignore_errors=True)
