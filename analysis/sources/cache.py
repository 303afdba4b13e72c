"""On-disk cache of frames, so that an unchanged store is read once.

An entry is named by the store, a token of its state (see `database.state`), the request and the code that makes the
frame.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache as once
from pathlib import Path
from typing import Any

import polars

import runner
from analysis import cache
from analysis.sources.frame import Frame
from runner import registry
from runner.ab import manifest
from runner.cell.cell import short_hash
from runner.cell.jsonform import to_json
from runner.store import address

AT_MOST = 12  # entries per store: a few tables of its newest states
SUFFIXES = (".py", ".yaml")
SESSIONS, CONDITIONED, REST = "sessions.arrow", "conditioned.arrow", "rest.json"


def entry(uri: str, state: str, kind: str, needed: Sequence[str]) -> Path:
    """Returns the folder of a frame for that state of the store."""
    versions = [code(), polars.__version__]
    return cache.entry_path(
        "frames", short_hash(address.identity(uri), 16), short_hash([state, kind, sorted(needed), versions], 24)
    )


@once
def code() -> str:
    """Returns a hash of the code that makes frames. Once per process, which keeps the modules that it has loaded."""
    return cache.code(sources())


def sources() -> Iterator[Path]:
    """Yields the files that determine a frame: this package, and the code and data of `runner`.

    Formats, kernels and runtimes may lie outside the folder of `runner`. Reading the files takes a few milliseconds and
    avoids a list of modules.
    """
    folders = (Path(__file__).parent, Path(str(runner.__file__)).parent, *registry.folders())
    yield from sorted({path for folder in folders for suffix in SUFFIXES for path in folder.rglob(f"[!.]*{suffix}")})


def load(place: Path) -> Frame | None:
    """Returns the cached frame, None if there is none."""
    rest = cache.load_json(place / REST)
    try:
        sessions, conditioned = (polars.read_ipc(place / name) for name in (SESSIONS, CONDITIONED))
        manifests = tuple(manifest.parse(text, str(place)) for text in rest["manifests"])
        left_out, notes = (tuple(rest[name]) for name in ("left_out", "notes"))
        os.utime(place)
        return Frame(
            sessions,
            rest["cells"],
            rest["environments"],
            manifests,
            rest["ab_runs"],
            left_out,
            notes,
            conditioned=conditioned,
        )
    except Exception:  # any damaged entry: the store is read again
        return None


def keep(place: Path, frame: Frame) -> None:
    """Writes a frame to the cache."""
    rest: Mapping[str, Any] = {
        "cells": dict(frame.cells),
        "environments": dict(frame.environments),
        "manifests": [json.dumps(to_json(manifest)) for manifest in frame.manifests],
        "ab_runs": dict(frame.ab_runs),
        "left_out": frame.left_out,
        "notes": frame.notes,
    }

    def make(folder: Path) -> None:
        folder.mkdir()
        for name, table in ((SESSIONS, frame.sessions), (CONDITIONED, frame.conditioned)):
            with open(folder / name, "wb") as file:  # polars raises its own errors if it opens the file itself
                table.write_ipc(file)
        (folder / REST).write_text(json.dumps(rest), encoding="utf-8")

    cache.keep(place, make, AT_MOST)
