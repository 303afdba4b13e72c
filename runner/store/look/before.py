"""Check before measuring that a store can take the record. Every fault is an error of one line.

The check takes about 50 ms. It does not import MLflow, which would use a core for seconds, possibly while another
session is timed.
"""

from __future__ import annotations

import os
from pathlib import Path

from runner.errors import BadValue, StoreUnreachable
from runner.store import address, lock
from runner.store.look import database, server, spelling, sqlitefile
from runner.store.look.seen import RESTORE, Backend, Experiment, NewStore, StoredRun

ID_VARIABLE, NAME_VARIABLE, RUN_VARIABLE = "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"
FOLDERS_VARIABLE = "MLFLOW_ALLOW_FILE_STORE"


def check(uri: str, run_id: str | None) -> None:
    """Checks that the store can take a session, in the run `run_id` if MLflow made one for it.

    Raises seen.Away for a server that does not answer now. Raises another StoreUnreachable, BadValue or MissingPackage
    for a fault that the user has to correct. Errors of the drivers propagate.
    """
    check_usable(uri)
    if server.is_server(uri):
        _check(server.Server(uri), address.masked_uri(uri), run_id)
    elif database.is_database(uri):
        _check_database(uri, run_id)


def check_usable(uri: str) -> None:
    """Raises BadValue for a URI that MLflow does not support, for a database in memory, which ends with the command,
    and for a folder, to which MLflow writes no runs."""
    spelling.check(uri)
    scheme, separator, _ = uri.partition(":")
    if scheme.partition("+")[0] == "sqlite" and address.sqlite_file(uri) is None:
        raise BadValue(
            f"{address.masked_uri(uri)} is a database in memory, which ends with the command: set MLFLOW_TRACKING_URI "
            f"to {address.SQLITE}FILE"
        )
    is_folder = scheme == "file" if separator else Path(uri).is_dir()
    if is_folder and os.environ.get(FOLDERS_VARIABLE, "").lower() not in ("true", "1"):
        raise BadValue(
            f"{address.masked_uri(uri)} is a folder, and MLflow no longer writes runs into folders: set "
            "MLFLOW_TRACKING_URI "
            f"to {address.DEFAULT_URI}, or {FOLDERS_VARIABLE}=true"
        )


def _check_database(uri: str, run_id: str | None) -> None:
    if (file := address.sqlite_file(uri)) is not None:
        sqlitefile.check(uri, file)
    with database.opened(uri) as tables:
        if tables is None:
            _check(NewStore(uri), address.masked_uri(uri), run_id)
            return
        with lock.held(uri):
            is_store = tables.check_schema(only_read=False)
            if is_store:
                tables.check_writable()
            else:
                tables.check_can_be_made()
            _check(tables if is_store else NewStore(uri), address.masked_uri(uri), run_id)


def _check(store: Backend, public_uri: str, run_id: str | None) -> None:
    experiment = _experiment(store, public_uri)
    run = None if run_id is None else _run(store, public_uri, run_id)
    roots = (experiment.root if experiment else store.default_root(), run.root if run else None)
    for root in filter(None, roots):
        store.check_root(root)


def _experiment(store: Backend, public_uri: str) -> Experiment | None:
    """Returns the experiment for new runs, None if it does not exist yet."""
    requested = os.environ.get(ID_VARIABLE)
    experiment = store.by_id(requested) if requested else store.by_name(address.experiment_name())
    if requested and experiment is None:
        raise StoreUnreachable(
            f"{ID_VARIABLE}={requested}: the MLflow store {public_uri} has no such experiment: name another (`mlflow "
            f"experiments search` lists them), or unset it and set {NAME_VARIABLE}"
        )
    if experiment is not None and experiment.is_deleted:
        alternative = f"unset {ID_VARIABLE}" if requested else f"set {NAME_VARIABLE} to another name"
        raise StoreUnreachable(
            f"the experiment {experiment.name} (id {experiment.id}) of the MLflow store {public_uri} is deleted: "
            f"{RESTORE.format(experiment.id)}, or {alternative}"
        )
    return experiment


def _run(store: Backend, public_uri: str, run_id: str) -> StoredRun:
    run = store.run(run_id)
    if run is None:
        raise StoreUnreachable(
            f"{RUN_VARIABLE}={run_id}: the MLflow store {public_uri} has no such run: unset it (`mlflow run` sets it "
            "itself), or set MLFLOW_TRACKING_URI to the store that has it"
        )
    if run.is_deleted:
        raise StoreUnreachable(
            f"{RUN_VARIABLE}={run_id}: that run of the MLflow store {public_uri} is deleted: restore it with "
            f"`mlflow runs restore --run-id {run_id}`, or unset {RUN_VARIABLE}"
        )
    return run
