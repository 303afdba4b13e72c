"""Frames of a store that has not changed since, kept on disk: the next command need not read it again.

An entry is named by the store, by a token of its state (see `database.state`), by what was read and by the code that
made a frame of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
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

AT_MOST = 12  # of one store: a few tables of its newest states
SUFFIXES = (".py", ".yaml")
SESSIONS, REST = "sessions.arrow", "rest.json"


def entry(uri: str, state: str, what: str, asked: Sequence[str]) -> Path:
    """The folder of a frame of that state of the store."""
    made = [cache.code(sources()), polars.__version__]
    return cache.place(
        "frames", short_hash(address.identity(uri), 16), short_hash([state, what, sorted(asked), made], 24)
    )


def sources() -> Iterator[Path]:
    """Yields the files that decide what a frame is: this package, and the runner's code and data.

    Formats, kernels and runtimes may lie outside the runner's folder. To read the files takes some milliseconds, and no
    list of modules has to be kept.
    """
    folders = (Path(__file__).parent, Path(str(runner.__file__)).parent, *registry.folders())
    yield from sorted({path for folder in folders for suffix in SUFFIXES for path in folder.rglob(f"[!.]*{suffix}")})


def load(place: Path) -> Frame | None:
    """The frame that is kept there, None where there is none."""
    rest = cache.load_json(place / REST)
    try:
        sessions = polars.read_ipc(place / SESSIONS)
        manifests = tuple(manifest.parse(text, str(place)) for text in rest["manifests"])
        left_out, notes = (tuple(rest[name]) for name in ("left_out", "notes"))
        os.utime(place)
        return Frame(sessions, rest["cells"], rest["environments"], manifests, rest["ab_runs"], left_out, notes)
    except Exception:  # whatever is wrong with it, the store still has it all
        return None


def keep(place: Path, frame: Frame) -> None:
    """Keep a frame for the next command."""
    rest: Mapping[str, Any] = {
        "cells": dict(frame.cells),
        "environments": dict(frame.environments),
        "manifests": [json.dumps(to_json(one)) for one in frame.manifests],
        "ab_runs": dict(frame.ab_runs),
        "left_out": frame.left_out,
        "notes": frame.notes,
    }

    def make(folder: Path) -> None:
        folder.mkdir()
        with open(folder / SESSIONS, "wb") as file:  # polars has errors of its own where it opens the file itself
            frame.sessions.write_ipc(file)
        (folder / REST).write_text(json.dumps(rest), encoding="utf-8")

    cache.keep(place, make, AT_MOST)
