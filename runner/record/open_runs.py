"""Markers of open runs: files in the spool, each named after an open run and naming the process that opened it.

A killed process closes no run. Its marker stays, so `import` closes the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from runner.errors import DiskFull
from runner.files import plainfile
from runner.processes import proc, signals
from runner.processes.proc import Process
from runner.record import spool
from runner.record.record import write_text_durably
from runner.record.sidecar import RUN_ID

FOLDER = ".runs"


def write_marker(folder: Path, run_id: str) -> Path | None:
    """Writes the marker of this process for the run and returns its path; None if it cannot be written, which the
    session itself reports later."""
    path = folder / FOLDER / run_id
    if not RUN_ID.fullmatch(run_id):
        return None
    with suppress(OSError, DiskFull), signals.held():
        write_text_durably(path, proc.this_process().text + "\n")
        return path
    return None


def abandoned_markers(folder: Path) -> Iterator[Path]:
    """Yields the markers in `folder` and below whose process has ended. The name of a marker is the id of its run."""
    for path in spool.matching_files(folder, f"{FOLDER}/*"):
        owner = _owner(path)
        if RUN_ID.fullmatch(path.name) and owner is not None and proc.state(owner) == proc.ENDED:
            yield path


def _owner(path: Path) -> Process | None:
    try:
        return proc.parsed(plainfile.read_text(path))
    except (OSError, UnicodeDecodeError):
        return None
