"""Where torch.compile keeps what it made: empty at the start of a session, unless the cell asks for a warm one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from runner.errors import BadValue
from runner.job import Job

OPTION, WARM = "compile-cache", "warm"
INDUCTOR_VARIABLE, TRITON_VARIABLE = "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"
PROJECT, FOLDER = "decode-floor", "compile-cache"


def use(job: Job, job_folder: Path) -> None:
    """Name the folder to torch, before its import: one beside the job's file, which goes with it, or the user's own."""
    folder = kept() if is_warm(job) else job_folder / FOLDER
    os.environ[INDUCTOR_VARIABLE] = str(folder)
    os.environ[TRITON_VARIABLE] = str(folder / "triton")


def kept() -> Path:
    """Raises BadValue where the folder cannot be written: a cold cache in its place would be another cell."""
    folder = home() / PROJECT / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise BadValue(
            f"{OPTION}:{WARM} is kept in {folder}, which cannot be written ({error.strerror}): set XDG_CACHE_HOME"
        ) from error
    return folder


def is_warm(job: Job) -> bool:
    """Does the cell ask for what earlier sessions made?"""
    return job.cell.options.get(OPTION) == WARM


def home() -> Path:
    """The user's folder of caches. Raises BadValue where there is none: a warm cache was asked for."""
    home = os.path.expanduser("~")
    if not (base := os.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if os.path.isabs(home) else "")):
        raise BadValue(f"{OPTION}:{WARM} needs a folder to keep it in, and you have no home folder: set XDG_CACHE_HOME")
    return Path(base)


def files() -> int:
    """Files in the folder named by `use`; 0 where there is no folder yet."""
    return sum(len(names) for _, _, names in os.walk(os.environ.get(INDUCTOR_VARIABLE, "")))
