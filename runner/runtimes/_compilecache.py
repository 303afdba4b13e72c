"""Folder of torch.compile's caches. It is empty at the start of a session, unless the cell has `compile-cache:warm`."""

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
    """Sets torch's cache folder; must run before torch is imported.

    A cold cache lies beside the job's file and is removed with it. A warm one lies in the user's cache folder.
    """
    folder = warm_folder() if is_warm(job) else job_folder / FOLDER
    os.environ[INDUCTOR_VARIABLE] = str(folder)
    os.environ[TRITON_VARIABLE] = str(folder / "triton")


def warm_folder() -> Path:
    """Returns the folder of the warm cache, and creates it.

    Raises BadValue if it cannot be written: a cold cache would be another cell.
    """
    folder = cache_home() / PROJECT / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise BadValue(
            f"{OPTION}:{WARM} is stored in {folder}, which cannot be written ({error.strerror}): set XDG_CACHE_HOME"
        ) from error
    return folder


def is_warm(job: Job) -> bool:
    """Returns whether the cell uses the cache of earlier sessions."""
    return job.cell.options.get(OPTION) == WARM


def cache_home() -> Path:
    """Returns the user's cache folder. Raises BadValue if there is none."""
    home = os.path.expanduser("~")
    if not (base := os.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if os.path.isabs(home) else "")):
        raise BadValue(
            f"{OPTION}:{WARM} needs a folder to store it in, and you have no home folder: set XDG_CACHE_HOME"
        )
    return Path(base)


def count_files() -> int:
    """Returns the number of files in the folder that `use` set; 0 if it does not exist yet."""
    return sum(len(names) for _, _, names in os.walk(os.environ.get(INDUCTOR_VARIABLE, "")))
