"""The marker: a file in the spool that names the process which has a run open, for as long as it is open.

A process that is killed closes nothing. Its marker stays, and tells `import` which run to close.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from runner.errors import DiskFull
from runner.files import jsontext, plainfile
from runner.processes import signals
from runner.processes.proc import Process, has_ended, this_process
from runner.record import spool
from runner.record.record import write_text_durably
from runner.record.sidecar import RUN_ID

FOLDER = ".runs"


def leave(folder: Path, run_id: str) -> Path | None:
    """Mark the run as this process's. None where that cannot be written: the session will say so better."""
    path = folder / FOLDER / run_id
    if not RUN_ID.fullmatch(run_id):
        return None
    with suppress(OSError, DiskFull), signals.held():
        write_text_durably(path, json.dumps(asdict(this_process())) + "\n")
        return path
    return None


def left_behind(folder: Path) -> Iterator[Path]:
    """Markers in `folder` and below whose process has ended; the name of each is its run's id."""
    for path in spool.below(folder, f"{FOLDER}/*"):
        owner = _owner(path)
        if RUN_ID.fullmatch(path.name) and owner is not None and has_ended(owner):
            yield path


def _owner(path: Path) -> Process | None:
    try:
        return Process(**jsontext.loads(plainfile.read_text(path)))
    except (OSError, ValueError, TypeError):
        return None
