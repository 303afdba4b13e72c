"""The look at a store before anything is measured: whatever would keep it from taking the record, in one line.

It takes some 50 ms and no MLflow, whose import would take seconds of a core while another session may be timed.
"""

from __future__ import annotations

import os
from pathlib import Path

from runner.errors import BadValue, StoreUnreachable
from runner.store import address, lock
from runner.store.look import database, server, spelling, sqlitefile
from runner.store.look.seen import RESTORE, Backend, Experiment, NotThereYet, SeenRun

ID_VARIABLE, NAME_VARIABLE, RUN_VARIABLE = "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"
FOLDERS_VARIABLE = "MLFLOW_ALLOW_FILE_STORE"


def check(uri: str, run_id: str | None) -> None:
    """Look whether the store would take a session, under `run_id` where MLflow made a run for it.

    Raises seen.Away for a server that does not answer now, another StoreUnreachable, BadValue or MissingPackage for
    what somebody has to change first, and whatever the drivers raise.
    """
    check_usable(uri)
    if server.is_server(uri):
        _check(server.Server(uri), address.shown(uri), run_id)
    elif database.is_database(uri):
        _check_database(uri, run_id)


def check_usable(uri: str) -> None:
    """Raises BadValue for a URI that MLflow has no kind of store for, or takes no runs into."""
    spelling.check(uri)
    scheme, separator, _ = uri.partition(":")
    is_folder = scheme == "file" if separator else Path(uri).is_dir()
    if is_folder and os.environ.get(FOLDERS_VARIABLE, "").lower() not in ("true", "1"):
        raise BadValue(
            f"{address.shown(uri)} is a folder, which MLflow takes no runs into any more: set MLFLOW_TRACKING_URI to "
            f"{address.DEFAULT_URI}, or {FOLDERS_VARIABLE}=true"
        )


def _check_database(uri: str, run_id: str | None) -> None:
    if (file := address.sqlite_file(uri)) is not None:
        sqlitefile.check(uri, file)
    with database.opened(uri) as found:
        if found is None:
            _check(NotThereYet(uri), address.shown(uri), run_id)
            return
        with lock.held(uri):
            is_store = found.check_schema(only_read=False)
            if is_store:
                found.check_writable()
            else:
                found.check_can_be_made()
            _check(found if is_store else NotThereYet(uri), address.shown(uri), run_id)


def _check(store: Backend, shown: str, run_id: str | None) -> None:
    experiment = _experiment(store, shown)
    run = None if run_id is None else _run(store, shown, run_id)
    roots = (experiment.root if experiment else store.usual_root(), run.root if run else None)
    for root in filter(None, roots):
        store.check_root(root)


def _experiment(store: Backend, shown: str) -> Experiment | None:
    """The one for new runs, None where it is to be made."""
    given = os.environ.get(ID_VARIABLE)
    found = store.by_id(given) if given else store.by_name(address.experiment_name())
    if given and found is None:
        raise StoreUnreachable(
            f"{ID_VARIABLE}={given}: the MLflow store {shown} has no such experiment: name another (`mlflow "
            f"experiments search` lists them), or unset it and set {NAME_VARIABLE}"
        )
    if found is not None and found.is_deleted:
        other = f"unset {ID_VARIABLE}" if given else f"set {NAME_VARIABLE} to another name"
        raise StoreUnreachable(
            f"the experiment {found.name} (id {found.id}) of the MLflow store {shown} is deleted: "
            f"{RESTORE.format(found.id)}, or {other}"
        )
    return found


def _run(store: Backend, shown: str, run_id: str) -> SeenRun:
    found = store.run(run_id)
    if found is None:
        raise StoreUnreachable(
            f"{RUN_VARIABLE}={run_id}: the MLflow store {shown} has no such run: unset it (`mlflow run` sets it by "
            "itself), or set MLFLOW_TRACKING_URI to the store that has it"
        )
    if found.is_deleted:
        raise StoreUnreachable(
            f"{RUN_VARIABLE}={run_id}: that run of the MLflow store {shown} is deleted: restore it with "
            f"`mlflow runs restore --run-id {run_id}`, or unset {RUN_VARIABLE}"
        )
    return found
