"""One session, and one study, per host at a time: locks for all users of the host, which the kernel releases when a
process ends.

Eager decode is limited by the host's CPU, so two concurrent sessions would disturb each other. Two studies could
measure the same cell twice. Containers share the locks only if they share their folder.
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
FILE_NAMES = {"session": "host.lock", "study": "study.lock"}
"""What holds the host → the file of its lock."""
SESSION, STUDY = FILE_NAMES
# as /tmp: all users may create files, only the owner may delete one
FOLDER_MODE = 0o1777
FILE_MODE = 0o666


def folder() -> Path:
    """Returns the lock's folder: $DECODE_FLOOR_LOCK_DIR, or /tmp/decode-floor."""
    return Path(os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER)


@contextmanager
def hold(share: bool, on_wait: Callable[[str], None], kind: str = SESSION) -> Iterator[None]:
    """Holds the host for one session, or for one study. `share` takes no lock.

    Sleeps until the host is free, without a limit, and calls `on_wait` once with the reason. A signal handler that
    raises ends the wait. Not re-entrant: a process that already holds the host waits for itself. Raises BadValue if the
    folder or file cannot be used, DiskFull if there is no space for them.
    """
    if share:
        yield
        return
    lock = _acquire(on_wait, kind)
    try:
        yield
    finally:
        _note(lock, "")
        os.close(lock)


def _acquire(on_wait: Callable[[str], None], kind: str) -> int:
    """Returns a descriptor that holds the lock."""
    has_waited = False
    while True:
        lock = _open(kind)
        try:
            has_waited = _lock(lock, None if has_waited else on_wait, kind) or has_waited
            if _is_current(lock, kind):
                _note(lock, f"{os.getpid()} {int(time.time())}\n")
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _lock(lock: int, on_wait: Callable[[str], None] | None, kind: str) -> bool:
    """Locks the descriptor, asleep while another process holds it. Returns whether it had to wait."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if on_wait is not None:
            on_wait(f"waiting for {_held_by(lock, kind)}")
        fcntl.flock(lock, fcntl.LOCK_EX)
        return True
    return False


def _is_current(lock: int, kind: str) -> bool:
    """Returns whether the locked file is still at its path. A cleaner of /tmp may have removed it."""
    try:
        present = os.stat(folder() / FILE_NAMES[kind], follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(present, os.fstat(lock))


def _note(lock: int, text: str) -> None:
    """Writes the holder's process id and start time (seconds since the epoch) into the file.

    They are only for the message of waiting processes, so errors are ignored.
    """
    with suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, text.encode(), 0)


def holder() -> str | None:
    """Returns the session that holds the host now, as text, or None. Raises BadValue if the lock cannot be read."""
    try:
        lock = os.open(folder() / FILE_NAMES[SESSION], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(error, SESSION) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _held_by(lock, SESSION)
    finally:
        os.close(lock)
    return None


def _held_by(lock: int, kind: str) -> str:
    # any user may write this file, so only two numbers are accepted
    match = re.fullmatch(rb"(\d{1,10}) (\d{1,11})\n", os.pread(lock, 64, 0))
    if match is None:
        return f"another {kind} on this host"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(int(match[2])))
    return f"another {kind} on this host (pid {int(match[1])}, since {since})"


def _open(kind: str) -> int:
    """Returns a descriptor of the lock file, created if missing. Symbolic links are refused."""
    try:
        directory = _open_folder(folder())
        try:
            return _open_file(directory, FILE_NAMES[kind])
        finally:
            os.close(directory)
    except OSError as error:
        raise _unusable(error, kind) from error


def _open_folder(path: Path) -> int:
    with suppress(FileExistsError):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkdir(path)
        os.chmod(path, FOLDER_MODE)  # the umask may have removed rights
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _open_file(directory: int, name: str) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        # without O_CREAT first: in a sticky folder Linux refuses it for other users' files (fs.protected_regular)
        with suppress(FileNotFoundError):
            return _checked(os.open(name, flags, dir_fd=directory))
        with suppress(FileExistsError):
            lock = os.open(name, flags | os.O_CREAT | os.O_EXCL, dir_fd=directory)
            os.fchmod(lock, FILE_MODE)
            return lock


def _checked(lock: int) -> int:
    """Returns the descriptor of a plain file with one name. A hard link could be to any file."""
    status = os.fstat(lock)
    if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1:
        return lock
    os.close(lock)
    raise OSError(errno.EINVAL, "not a plain file with one name")


def _unusable(error: OSError, kind: str) -> Exception:
    path = folder() / FILE_NAMES[kind]
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no space left for the host's lock {path}: free some, then run the command again")
    linked = error.errno == errno.ELOOP or folder().is_symlink()
    reason = "a symbolic link is in the way" if linked else error.strerror
    return BadValue(
        f"the host's lock {path} cannot be used ({reason}): remove it, name another folder in {FOLDER_VARIABLE} "
        "(the same for everyone on this host), or use --share-host of `python -m runner cell`"
    )
