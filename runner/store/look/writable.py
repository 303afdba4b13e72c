"""Check that a folder can be written or created, by a trial that leaves nothing behind.

The folder's mode is not sufficient: quotas, file servers, file systems such as /proc and root's rights matter, too.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path


def obstacle(folder: Path) -> OSError | None:
    """Returns the system's error with the path that it concerns; None if files can be created in the folder."""
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
