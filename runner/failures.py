"""Converts any exception that ends a command into an error of the family: a line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from pathlib import Path

from runner.errors import BadValue, DecodeFloorError, DiskFull, Failure, Interrupted, MissingPackage, Stopped
from runner.redaction import credentials

TRACEBACK_VARIABLE = "DECODE_FLOOR_TRACEBACK"
FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_PERMITTED = "`ls -ld` shows its owner and permissions: get permission, or name another place"
NOT_RESPONDING = "its disk or file server does not respond correctly: check it, or name another place"
REMEDIES = {
    errno.EACCES: NOT_PERMITTED,
    errno.EPERM: NOT_PERMITTED,
    errno.EROFS: "name a place that can be written",
    errno.ENOENT: "make it, or name another place",
    errno.ENOTDIR: "it, or a part of its path, is a file: name another place, or move the file away",
    errno.EEXIST: "move the existing file away, or name another place",
    errno.EISDIR: "it is a folder: name a file, or move the folder away",
    errno.ELOOP: "its links form a loop: remove them, or name another place",
    errno.ENAMETOOLONG: "name a shorter path",
    errno.EINVAL: "name another place",
    errno.EFBIG: "name another place",
    errno.EBUSY: "wait until no program uses it, or name another place",
    errno.ETXTBSY: "wait until no program uses it, or name another place",
    errno.ENXIO: "no program reads from that pipe: start one, or name a file",
    errno.ENODEV: NOT_RESPONDING,
    errno.EIO: NOT_RESPONDING,
    errno.ESTALE: NOT_RESPONDING,
    errno.ETIMEDOUT: NOT_RESPONDING,
}
"""Advice on errors of a path."""
PROCESS_REMEDIES = {
    errno.EMFILE: "this process may not open so many files: raise `ulimit -n`",
    errno.ENFILE: "this host has too many files open: end programs that hold some",
    errno.EAGAIN: "this user or container may not start more processes: end some, or raise `ulimit -u`",
    errno.ENOMEM: "no memory is left: free some",
}
"""Advice on errors that do not concern a path."""


def as_failure(error: BaseException) -> Failure:
    """Returns any exception as an error of the family. An unexpected one is a bug: the line names its type, and the
    variable that shows the traceback."""
    if os.environ.get(TRACEBACK_VARIABLE):
        print(credentials.masked("".join(traceback.format_exception(error))), file=sys.stderr, end="")
    if isinstance(error, (DecodeFloorError, Stopped)):  # `runner.doctor` runs on Python 3.9, too
        return error
    if isinstance(error, OSError) and (failure := _system_failure(error)) is not None:
        return failure
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("stopped by Ctrl-C")
    return DecodeFloorError(
        f"unexpected {type(error).__name__}: {error} (a bug; set {TRACEBACK_VARIABLE}=1 to see where)"
    )


def missing_package(package: str) -> MissingPackage:
    """Returns the error for a package that this interpreter cannot import."""
    return MissingPackage(
        f"{sys.executable} lacks the package {package}: use `make cell` or another make target, or activate an "
        "environment that has it (`make env` makes one in a checkout, `source .venv/bin/activate` enters it)"
    )


def _system_failure(error: OSError) -> DecodeFloorError | None:
    """Returns the failure if the system is its cause; None if only a bug explains it.

    Code that knows the purpose of the file raises a more specific error before this."""
    if error.errno in FULL:
        return DiskFull(f"no space left ({error}): free some, then run the command again")
    if error.errno in PROCESS_REMEDIES:
        return BadValue(f"{error.strerror}: {PROCESS_REMEDIES[error.errno]}")
    if error.errno in REMEDIES and error.filename is not None:
        return BadValue(path_message(error))
    if isinstance(error, FileNotFoundError) and not _has_folder():
        return BadValue("the folder that this command was started in no longer exists: change to another")
    return None


def path_message(error: OSError) -> str:
    """Returns path, reason and advice for an error of a path: `/x/y: Permission denied: …`."""
    name = "a file" if error.filename is None else os.fsdecode(error.filename)
    return f"{name}: {reason(error)}: {remedy(error)}"


def remedy(error: OSError) -> str:
    """Returns advice on an error of a path. For an unknown error, the advice is to name another place."""
    return REMEDIES.get(error.errno or 0, "name another place")


def advice(error: Exception, otherwise: str) -> str:
    """Returns `remedy` for an error of a path, or else `otherwise`: the content cannot be decoded."""
    return remedy(error) if isinstance(error, OSError) else otherwise


def reason(error: Exception) -> str:
    """Returns the system's message, without number and path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def obstacle(error: OSError, place: Path) -> str:
    """Returns why a file or folder cannot be written: the missing folder, or the file that is in the way of a folder,
    or else the system's message."""
    first = next((path for path in reversed(place.parents) if not os.path.isdir(path)), place)
    if error.errno == errno.ENOENT and first != place:
        return f"there is no folder {first}"
    if error.errno in (errno.ENOTDIR, errno.EEXIST) and os.path.exists(first):
        return f"{first} is a file"
    return reason(error)


def _has_folder() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True
