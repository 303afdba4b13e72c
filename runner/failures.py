"""Whatever ends a command, as one failure of the family: a line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback

from runner.errors import BadValue, DecodeFloorError, DiskFull, Failure, Interrupted, MissingPackage
from runner.redaction import credentials

TRACEBACK_VARIABLE = "DECODE_FLOOR_TRACEBACK"
FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_YOURS = "`ls -ld` shows whose it is and who may use it: get the right to, or name another place"
AWAY = "its disk or file server does not answer as it should: see to that, or name another place"
REMEDIES = {
    errno.EACCES: NOT_YOURS,
    errno.EPERM: NOT_YOURS,
    errno.EROFS: "name a place that can be written",
    errno.ENOENT: "make it, or name another place",
    errno.ENOTDIR: "it, or a part of its path, is a file: name another place, or move the file away",
    errno.EEXIST: "move away what is there, or name another place",
    errno.EISDIR: "it is a folder: name a file, or move the folder away",
    errno.ELOOP: "links that lead to themselves: remove them, or name another place",
    errno.ENAMETOOLONG: "name a shorter path",
    errno.EINVAL: "name another place",
    errno.EFBIG: "name another place",
    errno.EBUSY: "wait until nobody uses it, or name another place",
    errno.ETXTBSY: "wait until nobody uses it, or name another place",
    errno.ENXIO: "nobody reads from that pipe: start who does, or name a file",
    errno.ENODEV: AWAY,
    errno.EIO: AWAY,
    errno.ESTALE: AWAY,
    errno.ETIMEDOUT: AWAY,
}
"""Advice on a path that the system refuses."""
OF_THE_PROCESS = {
    errno.EMFILE: "this process may not open so many files: raise `ulimit -n`",
    errno.ENFILE: "this host has too many files open: end what holds them",
    errno.EAGAIN: "this user or container may not start more processes: end some, or raise `ulimit -u`",
    errno.ENOMEM: "no memory is left: free some",
}
"""Advice on refusals that have nothing to do with a path."""


def told(error: BaseException) -> Failure:
    """Any failure as one of the family. An unexpected one is a bug: its type, and how to see more."""
    if os.environ.get(TRACEBACK_VARIABLE):
        print(credentials.masked("".join(traceback.format_exception(error))), file=sys.stderr, end="")
    if isinstance(error, Failure):
        return error
    if isinstance(error, OSError) and (known := _of_the_system(error)) is not None:
        return known
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("stopped by Ctrl-C")
    return DecodeFloorError(
        f"unexpected {type(error).__name__}: {error} (a bug; set {TRACEBACK_VARIABLE}=1 to see where)"
    )


def lacks(package: str) -> MissingPackage:
    """Returns the error of a package that this interpreter cannot import."""
    return MissingPackage(
        f"{sys.executable} lacks the package {package}: use `make cell` or another make target, or activate an "
        "environment that has it (`make env` makes one in a checkout, `source .venv/bin/activate` enters it)"
    )


def _of_the_system(error: OSError) -> DecodeFloorError | None:
    """Returns what is wrong around us, None for what only a bug explains.

    Whoever knows what the file is for says it better."""
    if error.errno in FULL:
        return DiskFull(f"no space left ({error}): free some, then run the command again")
    if error.errno in OF_THE_PROCESS:
        return BadValue(f"{error.strerror}: {OF_THE_PROCESS[error.errno]}")
    if error.errno in REMEDIES and error.filename is not None:
        return BadValue(refused(error))
    if isinstance(error, FileNotFoundError) and not _has_folder():
        return BadValue("the folder that this command was started in is gone: change to another")
    return None


def refused(error: OSError) -> str:
    """The path that the system refuses, what it says, and what to do: `/x/y: Permission denied: …`."""
    name = "a file" if error.filename is None else os.fsdecode(error.filename)
    return f"{name}: {reason(error)}: {remedy(error)}"


def remedy(error: OSError) -> str:
    """Advice on a path that the system refuses."""
    return REMEDIES.get(error.errno or 0, "name another place")


def reason(error: Exception) -> str:
    """Returns the system's words, without number and path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _has_folder() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True
