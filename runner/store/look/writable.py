"""Tells whether a folder can be written, or be made where it is missing: tried, and nothing left behind.

The mode of a folder does not tell: quotas, file servers, file systems such as /proc and root's own rights decide too.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path


def obstacle(folder: Path) -> OSError | None:
    """The system's refusal, with the path that it is about; None where files can be made there."""
    place = folder
    while place != place.parent and not os.path.lexists(place):
        place = place.parent
    try:
        if not stat.S_ISDIR(os.stat(place).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        os.rmdir(tempfile.mkdtemp(prefix=".decode-floor-", dir=place))
    except OSError as error:
        return OSError(error.errno, error.strerror, str(place))
    return None
