"""The store and the spool: whether the next session can be stored, and what was left behind by earlier ones."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from runner import store
from runner.counts import counted
from runner.doctor.finding import Finding, failed, note, ok, problem
from runner.errors import BadValue, DecodeFloorError
from runner.files import jsontext, plainfile
from runner.record import spool as spools
from runner.record.spool import DEFAULT_SPOOL
from runner.store import address, connection
from runner.store.look import holdings, schema
from runner.store.look.holdings import Holdings

STORE, SPOOL = "store", "spool"
PATIENCE_S = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "3", "PGCONNECT_TIMEOUT": "3"}
"""Shorter waits than a command's, since nothing is lost if the doctor gives up."""
IMPORT = f"python -m runner import {DEFAULT_SPOOL}"


def findings() -> Iterator[Finding]:
    """Yields the findings on the store and on the spool."""
    for name, seconds in PATIENCE_S.items():
        os.environ.setdefault(name, seconds)
    held = None
    try:
        if obstacle := _obstacle():
            yield note(STORE, obstacle, "`python -m runner cell --spool DIR` keeps the records meanwhile")
        else:
            held = _holdings()
            yield _store(held)
    except DecodeFloorError as error:
        yield failed(STORE, error)
    yield _spool(held)


def _obstacle() -> str | None:
    """Returns why the store takes no session now, though a cell can be measured. Raises as `before_measuring`."""
    if importlib.util.find_spec("mlflow") is None:
        return "this Python has no MLflow to store sessions in"
    return store.before_measuring(None)


def _holdings() -> Holdings | None:
    uri = address.tracking_uri()
    with connection.one_line_read_errors(uri):
        return holdings.read(uri)


def _store(held: Holdings | None) -> Finding:
    uri = address.tracking_uri()
    name = address.masked_uri(uri)
    if held is None:
        return ok(STORE, f"{name} answers")
    if held.revision is None:
        return ok(STORE, f"{name}: the first session makes it")
    here = schema.installed()
    version = f" of MLflow {here.version}" if here and here.newest == held.revision else ""
    text = f"{name}: schema {held.revision}{version}, {counted(len(held.sessions), 'session')}"
    return ok(STORE, text)


def _spool(held: Holdings | None) -> Finding:
    """Returns how many records of the spool are not in the store."""
    if (fault := _unwritable(DEFAULT_SPOOL)) is not None:
        return problem(
            SPOOL,
            BadValue,
            f"{fault.absolute()} cannot be written",
            "choose another with `python -m runner cell --spool DIR`",
        )
    files = spools.record_files(DEFAULT_SPOOL) if DEFAULT_SPOOL.exists() else []
    if not files:
        return ok(SPOOL, f"no record waits in {DEFAULT_SPOOL}/")
    if held is None:
        return note(
            SPOOL, f"{counted(len(files), 'record')} in {DEFAULT_SPOOL}/; the store's sessions are unknown", IMPORT
        )
    missing = [path for path in files if _session(path) not in held.sessions]
    if not missing:
        return ok(SPOOL, f"the store has every record in {DEFAULT_SPOOL}/")
    return note(SPOOL, f"{len(missing)} of {counted(len(files), 'record')} in {DEFAULT_SPOOL}/ not imported", IMPORT)


def _unwritable(folder: Path) -> Path | None:
    """Returns the folder, or the one that it would be made in, if that cannot be written."""
    there = folder if folder.exists() else Path()
    return None if os.access(there, os.W_OK | os.X_OK) else there


def _session(path: Path) -> str | None:
    """Returns the id of the record's session; None if it cannot be read, so that `import` says why."""
    try:
        return str(jsontext.loads(plainfile.read_text(path))["session"]["id"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
