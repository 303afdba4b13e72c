"""The lock that guards a store, for a while: a process that hangs must not keep others waiting for ever."""

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
"""A commit takes a second or, where a server is away, its retries."""
POLL_S = 0.01
"""An import gives the lock back for a few milliseconds between two records."""


@contextmanager
def held(uri: str) -> Iterator[None]:
    """Hold the store alone; the kernel frees it when the holder dies. Raises OSError, and StoreUnreachable where
    another process does not give it back.

    MLflow's migrations fail when several processes make one store; to find or create a run takes two calls.
    """
    path = address.lock_path(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    with plainfile.opened_lock(path) as file:
        _wait(file, path, address.shown(uri))
        yield


def _wait(file: IO[str], path: Path, shown: str) -> None:
    """Others may come before us: only one that holds it all the time is given up on."""
    holder, deadline = "", 0.0
    while not _taken(file):
        if time.monotonic() >= deadline:
            found = holders.of(path)
            if found == holder:
                raise StoreUnreachable(
                    f"the MLflow store {shown} is kept locked by {holder} for more than {WAIT_S:.0f} s ({path}): wait "
                    "until it has ended, or end it"
                )
            holder, deadline = found, time.monotonic() + WAIT_S
        time.sleep(POLL_S)


def _taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
