"""Whatever ends a command, as one failure of the family: a line and an exit code."""

from __future__ import annotations

import errno
import os
import traceback

from runner.errors import DecodeFloorError, DiskFull, Failure, Interrupted

TRACEBACK_VARIABLE = "DECODE_FLOOR_TRACEBACK"
FULL = (errno.ENOSPC, errno.EDQUOT)


def told(error: BaseException) -> Failure:
    """Any failure as one of the family. An unexpected one is a bug: its type, and how to see more."""
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exception(error)
    if isinstance(error, Failure):
        return error
    if isinstance(error, OSError) and error.errno in FULL:
        return DiskFull(f"no space left ({error}): free some, then run the command again")
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("stopped by Ctrl-C")
    return DecodeFloorError(
        f"unexpected {type(error).__name__}: {error} (a bug; set {TRACEBACK_VARIABLE}=1 to see where)"
    )
