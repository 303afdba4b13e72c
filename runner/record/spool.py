"""The spool: the folder of records that are not committed yet, with reserved space for the next one."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from runner import failures
from runner.errors import BadValue, DiskFull

DEFAULT_SPOOL = Path("spool")
MANIFEST_NAME = "ab.json"
NAME_FOLDER = f"name the folder that a command wrote records to, by default {DEFAULT_SPOOL}"
"""Remedy for a folder that is a command's argument."""
RESERVE_SUFFIX, TEMPORARY_SUFFIX = ".reserve", ".tmp"
UNFINISHED = re.compile(r"\.(?P<name>.+)(?:\.reserve|\.(?P<pid>[1-9][0-9]{0,9})\.tmp)", re.DOTALL)
"""Names of files that reserve space, and of temporary files, with the process that writes them."""
HIDDEN_FOLDERS = (".runs", ".studies")
"""Folders of a spool in which files are written, too."""


def reserve_path(record_path: Path) -> Path:
    """Returns the path of the file that reserves space for a record. The record is later written into that file."""
    return record_path.with_name(f".{record_path.name}{RESERVE_SUFFIX}")


def temporary_path(path: Path) -> Path:
    """Returns the path of the file that this process writes before it becomes `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")


def kept(record_path: Path) -> str:
    """Returns a sentence that says where the record is and how to import it."""
    folder = shlex.quote(str(record_path.parent))
    return f"the record is kept at {record_path}; import it with: python -m runner import {folder}"


def check_folder(folder: Path, remedy: str = NAME_FOLDER) -> None:
    """Raises BadValue if the folder does not exist, is a file, or cannot be listed."""
    try:
        os.scandir(folder).close()
    except FileNotFoundError as error:
        raise BadValue(f"{folder}: no such folder of records: {remedy}") from error
    except NotADirectoryError as error:
        if folder.exists():
            raise BadValue(f"{folder} is a file, not a folder of records: name the folder that it is in") from error
        raise BadValue(f"the folder of records {failures.path_message(error)}") from error
    except OSError as error:
        raise BadValue(f"the folder of records {failures.path_message(error)}") from error


def without_records(folder: Path, remedy: str = NAME_FOLDER) -> BadValue:
    """Returns the error for a folder where a command found nothing to do."""
    return BadValue(f"{folder}: no records (*.json) there: {remedy}")


def record_files(folder: Path) -> list[Path]:
    """Returns the record files in a folder and below it in the order of their paths, without manifests of A/Bs.

    Folders that cannot be listed are included: reading one as a record gives the error.
    """
    unreadable: list[Path] = []
    files = matching_files(folder, "*.json", lambda error: unreadable.append(Path(error.filename)))
    records = (path for path in files if path.name != MANIFEST_NAME and not _is_hidden(path.name))
    # the order of paths; comparing the paths themselves takes five times as long
    return sorted([*records, *unreadable], key=lambda path: path.parts)


def manifest_files(folder: Path) -> list[Path]:
    """Returns the manifests of A/Bs in a folder and below it in the order of their paths."""
    return sorted(matching_files(folder, MANIFEST_NAME))


def matching_files(folder: Path, pattern: str, on_error: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Yields the files that match the pattern, in a folder and below it.

    Hidden folders below it, such as `.ipynb_checkpoints`, are skipped. Links to folders are followed, and each folder
    is visited once. `on_error` receives the error of a folder that cannot be listed.
    """
    visited: set[tuple[int, int]] = set()
    for parent, folders, _ in os.walk(folder, onerror=on_error, followlinks=True):
        if _is_first_visit(parent, visited):
            folders[:] = sorted((name for name in folders if not _is_hidden(name)), key=partial(_links_last, parent))
            yield from sorted(Path(parent).glob(pattern), key=lambda path: path.name)
        else:
            folders.clear()


def _is_first_visit(folder: str, visited: set[tuple[int, int]]) -> bool:
    status = os.stat(folder)
    identity = (status.st_dev, status.st_ino)
    is_first = identity not in visited
    visited.add(identity)
    return is_first


def _links_last(folder: str, name: str) -> tuple[bool, str]:
    """Returns the sort key of a folder's entry: links come last, so a folder is visited under its own name."""
    return os.path.islink(os.path.join(folder, name)), name


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


@contextmanager
def reserved(record_path: Path, size: int) -> Iterator[None]:
    """Reserves `size` bytes for the record, so a disk that fills up during the measurement does not lose it.

    Creates the spool. Raises DiskFull or BadValue before the measurement.
    """
    reserve, spool = reserve_path(record_path), record_path.parent
    with ExitStack() as cleanup:
        cleanup.callback(_remove, reserve)
        try:
            cleanup.enter_context(_allocated(reserve, size))
        except OSError as error:
            raise unusable(error, spool) from error
        yield


@contextmanager
def _allocated(reserve: Path, size: int) -> Iterator[None]:
    """Creates a file of `size` bytes and locks it. An unlocked file is abandoned: its process has ended."""
    reserve.parent.mkdir(parents=True, exist_ok=True)
    with open(reserve, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.posix_fallocate(file.fileno(), 0, size)
        yield


def _remove(reserve: Path) -> None:
    with suppress(OSError):  # the record was written into it, or it could not be created
        reserve.unlink()


def clear_abandoned(folder: Path) -> list[Path]:
    """Deletes the reserved space of killed processes in a folder and below it, and the files that they were writing.

    Returns the paths of the files that were never written.
    """
    left = [(path, written) for path, written in _unfinished(folder) if _is_abandoned(path)]
    for path, _ in left:
        _remove(path)
    return [written for _, written in left if not os.path.lexists(written)]


def _unfinished(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yields each file that reserves space, or that a process which has ended was writing, and the path that it would
    have become."""
    for path in _hidden_files(folder):
        match = UNFINISHED.fullmatch(path.name)
        if match is not None and not (match["pid"] and os.path.exists(f"/proc/{match['pid']}")):
            yield path, path.with_name(match["name"])


def _hidden_files(folder: Path) -> Iterator[Path]:
    for path in matching_files(folder, ".*"):
        if path.name in HIDDEN_FOLDERS:
            yield from path.glob(".*")
        else:
            yield path


def _is_abandoned(reserve: Path) -> bool:
    try:
        file = os.open(reserve, os.O_RDONLY | os.O_NONBLOCK)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(file)
    except OSError:  # it is locked, belongs to another user, or is no file
        return False
    return True


def unusable(error: OSError, spool: Path) -> Exception:
    """Returns DiskFull or BadValue for a spool, or a folder in it, that cannot be written."""
    if error.errno in failures.FULL:
        return DiskFull(f"no space left in the spool {spool}: free some or choose another with --spool")
    why = failures.obstacle(error, spool)
    return BadValue(f"the spool {spool} cannot be written ({why}): choose another with --spool")
