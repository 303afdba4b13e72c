"""Every `python -m FAULT_MODULE` that finds this folder on its path counts its writes, and is killed at the n-th.

A write is a file opened for writing, renamed, removed or made in FAULT_FOLDER, or an SQL statement that changes a
database. FAULT_AT is n; with 0 the process ends as usual. At its end the count is written into the file FAULT_COUNT.
"""

from __future__ import annotations

import atexit
import os
import runpy
import signal
import sqlite3
import sqlite3.dbapi2
import sys
from pathlib import Path
from typing import Any

VARIABLES = ("FAULT_MODULE", "FAULT_FOLDER", "FAULT_AT", "FAULT_COUNT")
MODULE, FOLDER, AT, COUNT_FILE = (os.environ.get(name, "") for name in VARIABLES)
FILE_EVENTS = ("os.rename", "os.remove", "os.mkdir")
CHANGES = ("BEGIN", "COMMIT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP")
CONNECT = sqlite3.connect
_count = 0


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    is_write = event in FILE_EVENTS or (event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR))
    if is_write and isinstance(arguments[0], str | Path) and str(arguments[0]).startswith(FOLDER):
        _write()


def _connect(*arguments: Any, **settings: Any) -> sqlite3.Connection:
    connection = CONNECT(*arguments, **settings)
    connection.set_trace_callback(_statement)
    return connection


def _statement(text: str) -> None:
    if text.lstrip().upper().startswith(CHANGES):
        _write()


def _write() -> None:
    global _count
    _count += 1
    if str(_count) == AT:
        os.kill(os.getpid(), signal.SIGKILL)


def _note() -> None:
    Path(COUNT_FILE).write_text(str(_count))


if sys.orig_argv[1:3] == ["-m", MODULE]:
    sys.addaudithook(_hook)
    sqlite3.connect = sqlite3.dbapi2.connect = _connect
    if COUNT_FILE:
        atexit.register(_note)
# only one module of this name is imported
runpy.run_path(str(Path(__file__).parents[2] / "small_cache" / "sitecustomize.py"))
