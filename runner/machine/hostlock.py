"""One session per host at a time: a lock between all users of the host, released by the kernel on death.

Eager decode is bound by the host, so two sessions side by side would measure each other. Processes in
different containers share the lock only where they share its folder.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runner.errors import BadValue, DiskFull

FOLDER_VARIABLE = "DECODE_FLOOR_LOCK_DIR"
DEFAULT_FOLDER = "/tmp/decode-floor"
FILE_NAME = "host.lock"
# as /tmp itself: everybody may create, only the owner may delete
FOLDER_MODE = 0o1777
FILE_MODE = 0o666


def folder() -> Path:
    """Where the lock lies: $DECODE_FLOOR_LOCK_DIR, or /tmp/decode-floor."""
    return Path(os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER)


@contextmanager
def hold(share: bool, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the host for one session. `share` takes no lock.

    Waits asleep until the host is free, however long; `on_wait` is told once for whom. A signal handler that
    raises ends the wait. Not re-entrant: a process that holds the host and asks again waits for itself.
    Raises BadValue when the folder or file cannot be used, DiskFull when there is no space for them.
    """
    if share:
        yield
        return
    lock = _acquire(on_wait)
    try:
        yield
    finally:
        _note(lock, "")
        os.close(lock)


def _acquire(on_wait: Callable[[str], None]) -> int:
    """A descriptor that holds the lock."""
    told = False
    while True:
        lock = _open()
        try:
            told = _lock(lock, None if told else on_wait) or told
            if _is_current(lock):
                _note(lock, f"{os.getpid()} {int(time.time())}\n")
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _lock(lock: int, on_wait: Callable[[str], None] | None) -> bool:
    """Lock the descriptor, asleep while another holds it; returns whether another did."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if on_wait is not None:
            on_wait(_waiting_for(lock))
        fcntl.flock(lock, fcntl.LOCK_EX)
        return True
    return False


def _is_current(lock: int) -> bool:
    """Is the locked file still the one others will open? A cleaner of /tmp may have removed it meanwhile."""
    try:
        present = os.stat(folder() / FILE_NAME, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(present, os.fstat(lock))


def _note(lock: int, text: str) -> None:
    """Leave the holder's process id and start time (seconds since the epoch) in the file.

    It is a courtesy to those who wait, so a full disk does not matter.
    """
    with suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, text.encode(), 0)


def _waiting_for(lock: int) -> str:
    # any user may write this file: only two numbers are taken from it
    match = re.fullmatch(rb"(\d{1,10}) (\d{1,11})\n", os.pread(lock, 64, 0))
    if match is None:
        return "waiting for another session on this host"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(int(match[2])))
    return f"waiting for another session on this host (pid {int(match[1])}, since {since})"


def _open() -> int:
    """The lock file, created where it is missing. A symbolic link as the file or its folder is refused."""
    try:
        directory = _open_folder(folder())
        try:
            return _open_file(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise _unusable(error) from error


def _open_folder(path: Path) -> int:
    with suppress(FileExistsError):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkdir(path)
        os.chmod(path, FOLDER_MODE)  # a umask would have taken the others' rights
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _open_file(directory: int) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        # without O_CREAT first: in a sticky folder Linux refuses it on others' files (fs.protected_regular)
        with suppress(FileNotFoundError):
            return _checked(os.open(FILE_NAME, flags, dir_fd=directory))
        with suppress(FileExistsError):
            lock = os.open(FILE_NAME, flags | os.O_CREAT | os.O_EXCL, dir_fd=directory)
            os.fchmod(lock, FILE_MODE)
            return lock


def _checked(lock: int) -> int:
    """The descriptor, when it is a plain file with one name; a hard link could be to any file."""
    status = os.fstat(lock)
    if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1:
        return lock
    os.close(lock)
    raise OSError(errno.EINVAL, "not a plain file with one name")


def _unusable(error: OSError) -> Exception:
    path = folder() / FILE_NAME
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no space left for the host's lock {path}: free some, then run the command again")
    linked = error.errno == errno.ELOOP or folder().is_symlink()
    why = "a symbolic link is in the way" if linked else error.strerror
    return BadValue(
        f"the host's lock {path} cannot be used ({why}): remove it, name another folder in {FOLDER_VARIABLE} "
        "(the same for everyone on this host), or use --share-host"
    )
