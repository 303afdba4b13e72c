"""Where torch.compile keeps what it made: empty at the start of a session, unless the cell asks for a warm one."""

from __future__ import annotations

import os
from pathlib import Path

from runner.worker.job import Job

OPTION, WARM = "compile-cache", "warm"
INDUCTOR_VARIABLE, TRITON_VARIABLE = "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"
PROJECT, FOLDER = "decode-floor", "compile-cache"


def use(job: Job, job_folder: Path) -> None:
    """Name the folder to torch, before its import: one beside the job's file, which goes with it, or the user's own."""
    folder = home() / PROJECT / FOLDER if is_warm(job) else job_folder / FOLDER
    os.environ[INDUCTOR_VARIABLE] = str(folder)
    os.environ[TRITON_VARIABLE] = str(folder / "triton")


def is_warm(job: Job) -> bool:
    """Does the cell ask for what earlier sessions made?"""
    return job.cell.options.get(OPTION) == WARM


def home() -> Path:
    """The user's folder of caches."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def files() -> int:
    """Files in the folder named by `use`; 0 where there is no folder yet."""
    return sum(len(names) for _, _, names in os.walk(os.environ.get(INDUCTOR_VARIABLE, "")))
