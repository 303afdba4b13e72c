"""Makes the SQLite file of a store as a whole: a process that is killed meanwhile leaves no store.

MLflow makes its tables in many steps. A file that has only some of them looks like the store of an older MLflow.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from runner.processes import signals
from runner.store import address, artifacts

PART, LOGS = "part", ("", "-journal", "-wal", "-shm")
"""End of the name of an unfinished file, and of the names of SQLite's files."""


def make(uri: str) -> None:
    """Makes the store if its file does not exist. The store's lock must be held.

    Does nothing for another kind of store, and for a URI with options. Raises OSError and the driver's errors.
    """
    file = address.sqlite_file(uri)
    if file is None or "?" in uri or os.path.lexists(file):
        return
    with signals.held():  # MLflow could not close a run after a signal interrupted this import
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    part = file.with_name(f".{file.name}.{PART}")
    _remove(part)
    part_uri = f"{address.SQLITE}{quote(str(part), errors=address.NOT_UTF8)}"
    try:
        SqlAlchemyStore(address.for_mlflow(part_uri), artifacts.default_root(uri)).engine.dispose()
        os.replace(part, file)
    except BaseException:
        _remove(part)
        raise


def _remove(part: Path) -> None:
    """Removes what an earlier attempt has left."""
    for end in LOGS:
        with suppress(FileNotFoundError):
            part.with_name(f"{part.name}{end}").unlink()
