"""Where torch.compile keeps what it made: empty at the start of a session, unless the cell asks for a warm one."""

from __future__ import annotations

import os
from pathlib import Path

from runner.worker.job import Job

OPTION, WARM = "compile-cache", "warm"
INDUCTOR_VARIABLE, TRITON_VARIABLE = "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"
FOLDER = "compile-cache"


def use(job: Job, job_folder: Path) -> None:
    """Name the folder to torch, before its import: one beside the job's file, which goes with it, or the user's own."""
    folder = _own() if job.cell.options.get(OPTION) == WARM else job_folder / FOLDER
    os.environ[INDUCTOR_VARIABLE] = str(folder)
    os.environ[TRITON_VARIABLE] = str(folder / "triton")


def _own() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "decode-floor" / FOLDER


def files() -> int:
    """Files in the folder named by `use`; 0 where there is no folder yet."""
    return sum(len(names) for _, _, names in os.walk(os.environ.get(INDUCTOR_VARIABLE, "")))
