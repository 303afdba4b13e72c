"""Lock of a store, with a limited wait, because a holder may hang."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from runner.errors import StoreUnreachable
from runner.files import plainfile
from runner.store import address, holders

WAIT_S = 30.0
"""A commit takes about a second, a batch of an import ten, or the time of the retries if a server does not answer."""
POLL_S = 0.01
"""An import releases the lock for twice as long between two batches."""


@contextmanager
def held(uri: str) -> Iterator[None]:
    """Holds the lock of a store, which the operating system releases if the process dies.

    MLflow's migrations fail if several processes create a store, and finding or creating a run takes two calls. Raises
    OSError, and StoreUnreachable if another process holds the lock for more than WAIT_S.
    """
    path = address.lock_path(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    with plainfile.opened_lock(path) as file:
        _acquire(file, path, address.masked_uri(uri))
        yield


def _acquire(file: IO[str], path: Path, public_uri: str) -> None:
    """Waits for the lock. Raises StoreUnreachable if the same process holds it for WAIT_S."""
    holder, deadline = "", 0.0
    while not _try_lock(file):
        if time.monotonic() >= deadline:
            current = holders.lock_holders(path)
            if current == holder:
                raise StoreUnreachable(
                    f"the MLflow store {public_uri} is kept locked by {holder} for more than {WAIT_S:.0f} s ({path}): "
                    "wait until it has ended, or end it"
                )
            holder, deadline = current, time.monotonic() + WAIT_S
        time.sleep(POLL_S)


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
