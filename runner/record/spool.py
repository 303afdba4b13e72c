"""The spool: the folder where records lie before they are committed, with space set aside for one to come."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from runner import failures
from runner.errors import BadValue, DecodeFloorError, DiskFull

DEFAULT_SPOOL = Path("spool")
MANIFEST_NAME = "ab.json"
RESERVE_SUFFIX = ".reserve"


def reserve_path(record_path: Path) -> Path:
    """The file that keeps space for a record which is not written yet; the record is written into it."""
    return record_path.with_name(f".{record_path.name}{RESERVE_SUFFIX}")


def check_folder(folder: Path, kind: type[DecodeFloorError]) -> None:
    """Raises the error where there is no such folder of records, or it cannot be looked into."""
    try:
        os.scandir(folder).close()
    except FileNotFoundError as error:
        raise kind(f"{folder}: no such folder of records") from error
    except NotADirectoryError as error:
        name = "name the folder that it is in" if folder.exists() else failures.remedy(error)
        raise kind(f"the folder of records {folder}: {failures.reason(error)}: {name}") from error
    except OSError as error:
        raise kind(f"the folder of records {failures.refused(error)}") from error


def record_files(folder: Path) -> list[Path]:
    """The record files in a folder and below it, by path; the manifests of A/Bs are not among them.

    Among them are folders that cannot be looked into: whoever reads one as a record learns why it cannot be read.
    """
    unreadable: list[Path] = []
    found = below(folder, "*.json", lambda error: unreadable.append(Path(error.filename)))
    return sorted([*(path for path in found if path.name != MANIFEST_NAME and not _is_hidden(path.name)), *unreadable])


def manifest_files(folder: Path) -> list[Path]:
    """The manifests of A/Bs in a folder and below it, by path."""
    return sorted(below(folder, MANIFEST_NAME))


def below(folder: Path, pattern: str, on_error: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Yields the files that fit the pattern, in a folder and in those below it. Hidden ones, such as
    `.ipynb_checkpoints`, are other programs' and left alone, though the folder itself may lie in one. Links to folders
    are followed, each folder is looked into once. `on_error` gets the error of a folder that cannot be listed."""
    seen: set[tuple[int, int]] = set()
    for found, folders, _ in os.walk(folder, onerror=on_error, followlinks=True):
        if _is_first(found, seen):
            folders[:] = sorted((name for name in folders if not _is_hidden(name)), key=partial(_links_last, found))
            yield from sorted(Path(found).glob(pattern))
        else:
            folders.clear()


def _is_first(folder: str, seen: set[tuple[int, int]]) -> bool:
    status = os.stat(folder)
    own = (status.st_dev, status.st_ino)
    is_first = own not in seen
    seen.add(own)
    return is_first


def _links_last(folder: str, name: str) -> tuple[bool, str]:
    """The order in which folders are looked into: a link into the same tree must not take a folder's own name."""
    return os.path.islink(os.path.join(folder, name)), name


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


@contextmanager
def reserved(record_path: Path, size: int) -> Iterator[None]:
    """Keep `size` bytes for the record, so that a disk that fills up meanwhile costs no measurement.

    Makes the spool. Raises DiskFull or BadValue: now rather than after the measurement.
    """
    reserve, spool = reserve_path(record_path), record_path.parent
    with ExitStack() as kept:
        kept.callback(_remove, reserve)
        try:
            kept.enter_context(_allocated(reserve, size))
        except OSError as error:
            raise unusable(error, spool) from error
        yield


@contextmanager
def _allocated(reserve: Path, size: int) -> Iterator[None]:
    """The file of `size` bytes, locked for as long as its process lives: one without a lock is nobody's any more."""
    reserve.parent.mkdir(parents=True, exist_ok=True)
    with open(reserve, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.posix_fallocate(file.fileno(), 0, size)
        yield


def _remove(reserve: Path) -> None:
    # gone already when the record was written into it, or when it could not be made
    with suppress(OSError):
        reserve.unlink()


def clear_abandoned(folder: Path) -> list[Path]:
    """Give back the space that killed processes kept in a folder and below it; the paths of the records that never
    came."""
    reserves = [path for path in below(folder, f".*{RESERVE_SUFFIX}") if _is_abandoned(path)]
    for path in reserves:
        _remove(path)
    records = [path.with_name(path.name[1 : -len(RESERVE_SUFFIX)]) for path in reserves]
    return [path for path in records if not os.path.lexists(path)]


def _is_abandoned(reserve: Path) -> bool:
    try:
        file = os.open(reserve, os.O_RDONLY | os.O_NONBLOCK)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(file)
    except OSError:  # somebody holds it, it is another user's, or no file at all
        return False
    return True


def unusable(error: OSError, spool: Path) -> Exception:
    """Returns the error for a spool, or a folder in it, that cannot be written: DiskFull or BadValue."""
    if error.errno in failures.FULL:
        return DiskFull(f"no space left in the spool {spool}: free some or choose another with --spool")
    return BadValue(f"the spool {spool} cannot be written ({failures.reason(error)}): choose another with --spool")
