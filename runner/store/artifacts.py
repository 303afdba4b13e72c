"""Keeps a run's artifacts beside the open SQLite database, in `mlruns/<experiment>/<run>/artifacts`.

MLflow stores this place as an absolute path in every experiment and every run. After the store's folder is moved,
renamed or copied, the paths name the old folder: new artifacts would be written there, and earlier ones would not be
found. MLflow also decodes a `%` in a path that it has written without encoding.

Only experiments with runs of this program are corrected, and only places that have MLflow's default form.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from runner.counts import counted
from runner.store import address
from runner.store.look import sqlitefile
from runner.store.saved_views import CELLS, TAG_PREFIX
from runner.store.session_run import COMMITTED_TAG

if TYPE_CHECKING:
    import sqlite3

    from mlflow import MlflowClient

ROOT, RUN_FOLDER = "mlruns", "artifacts"
"""MLflow's names of the folder beside a database and of the folder below a run's id."""
INTERNAL_PREFIX = "decode_floor."
"""Prefix of this program's tags that are not meant for people."""
ROOT_VARIABLE = "_MLFLOW_SERVER_ARTIFACT_ROOT"
"""MLflow's variable with the default root for artifacts, which its server sets for its workers."""

OUR_EXPERIMENTS = "SELECT experiment_id FROM experiment_tags WHERE key = ?"
"""Experiments with this program's views: each has received one of its runs."""
EXPERIMENT = "SELECT artifact_location, name FROM experiments WHERE experiment_id = ?"
RUN_PLACE = "SELECT experiment_id, artifact_uri FROM runs WHERE run_uuid = ?"
RUNS_ELSEWHERE = (
    "SELECT run_uuid, artifact_uri FROM runs WHERE experiment_id = ?"
    " AND substr(artifact_uri, 1, ?) <> ? AND substr(artifact_uri, 1, ?) <> ?"
)
HAD_ARTIFACTS = (
    "SELECT 1 FROM tags JOIN runs ON tags.run_uuid = runs.run_uuid"
    " WHERE tags.run_uuid = ? AND (key = ? OR (status = 'FINISHED' AND key LIKE ?))"
)
"""Complete run of this program. A run that MLflow has just made, or that failed earlier, had no artifacts."""
POINT_EXPERIMENT = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
POINT_RUN = "UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?"


@dataclass(frozen=True)
class Move:
    """Ids of an experiment's runs with artifacts now beside the database, still elsewhere, or in neither place."""

    moved: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def default_root(uri: str) -> str | None:
    """Returns the default root for artifacts of a store: the environment's, or the folder beside an SQLite file."""
    file = _file(uri)
    beside = None if file is None else (file.parent / ROOT).as_uri()
    return os.environ.get(ROOT_VARIABLE, beside)


@contextmanager
def default_root_beside(uri: str) -> Iterator[None]:
    """Sets MLflow's default root for artifacts to the folder of an SQLite file, in place of the working folder.

    MLflow uses it if its client creates the store. It cannot create one if the root's path contains a quotation mark.
    """
    root = default_root(uri)
    if root is None or ROOT_VARIABLE in os.environ:
        yield
        return
    os.environ[ROOT_VARIABLE] = root
    try:
        yield
    finally:
        del os.environ[ROOT_VARIABLE]


def correct_places(uri: str) -> None:
    """Corrects the places of this program's experiments and runs in an SQLite database that was moved.

    Prints on stderr which places changed, and which artifacts were left behind. Does nothing for other stores.
    """
    if (file := _file(uri)) is not None:
        with _tables(file) as tables:
            for (experiment,) in tables.execute(OUR_EXPERIMENTS, (f"{TAG_PREFIX}{CELLS}",)).fetchall():
                _correct_experiment(tables, file, str(experiment))


def correct_experiment(client: MlflowClient, experiment: str) -> None:
    """Corrects the place of an experiment and its runs."""
    if (file := _file(client.tracking_uri)) is not None:
        with _tables(file) as tables:
            _correct_experiment(tables, file, experiment)


def correct_run(client: MlflowClient, run_id: str) -> None:
    """Corrects the place of a run before artifacts are written to it.

    Copies artifacts from another store's folder, where nothing is written.
    """
    if (file := _file(client.tracking_uri)) is None:
        return
    with _tables(file) as tables:
        experiment, uri = tables.execute(RUN_PLACE, (run_id,)).fetchone()
        stored = _path(uri)
        if stored == file.parent / ROOT / str(experiment) / run_id / RUN_FOLDER:
            return  # as is every run that MLflow has just made
        home = _correct_experiment(tables, file, str(experiment))
        if home is None or stored is None or not _has_default_form(stored, home, run_id):
            return
        place = home / run_id / RUN_FOLDER
        if stored == place:
            return
        if stored.is_dir() and not place.exists():
            shutil.copytree(stored, place)
        tables.execute(POINT_RUN, (place.as_uri(), run_id))


def _file(uri: str) -> Path | None:
    file = address.sqlite_file(uri)
    return None if file is None else Path(os.path.realpath(file))


@contextmanager
def _tables(file: Path) -> Iterator[sqlite3.Connection]:
    """Opens a transaction on MLflow's tables. MLflow must have opened the database before."""
    import sqlite3

    with closing(sqlite3.connect(file)) as tables, tables:
        yield tables


def _correct_experiment(tables: sqlite3.Connection, file: Path, experiment: str) -> Path | None:
    """Corrects the places in the database. Returns the experiment's folder, None if it has no default form."""
    row = tables.execute(EXPERIMENT, (experiment,)).fetchone()
    stored = None if row is None else _path(row[0])
    if stored is None or stored.parts[-2:] != (ROOT, experiment):
        return None
    home = _home(stored, file)
    move = _correct_runs(tables, home)
    if home != stored:
        tables.execute(POINT_EXPERIMENT, (home.as_uri(), experiment))
        _print_move(move, row[1], stored, home)
    return home


def corrected_place(uri: str, stored: Path) -> Path:
    """Returns the folder that replaces a stored folder of an experiment or run when `correct_places` runs."""
    file, parts = _file(uri), stored.parts
    if file is not None and parts[-2:-1] == (ROOT,):
        return _home(stored, file)
    if file is not None and (parts[-4:-3], parts[-1:]) == ((ROOT,), (RUN_FOLDER,)):
        return _home(stored.parents[1], file) / stored.relative_to(stored.parents[1])
    return stored


def _home(stored: Path, file: Path) -> Path:
    """Returns the folder of an experiment's artifacts: the stored one if a user chose it, else the one beside the
    database.

    A chosen folder exists and is not beside another store, into which a copy of the database would write.
    """
    beside = file.parent / ROOT / stored.name
    if stored == beside:
        return stored
    stores = list(sqlitefile.stores_in(stored.parent.parent))
    is_own = any(store.samefile(file) for store in stores)
    return stored if is_own or (stored.parent.is_dir() and not stores and not beside.is_dir()) else beside


def _correct_runs(tables: sqlite3.Connection, home: Path) -> Move:
    """Corrects the place of each run of an experiment whose artifacts are beside the database now."""
    move, uri, path = Move(), f"{home.as_uri()}/", f"{home}/"
    read_by_mlflow = uri if "%" in path else path  # MLflow decodes a plain path, too
    runs = tables.execute(RUNS_ELSEWHERE, (home.name, len(uri), uri, len(read_by_mlflow), read_by_mlflow))
    for run_id, artifact_uri in runs.fetchall():
        stored, place = _path(artifact_uri), home / run_id / RUN_FOLDER
        if stored is None or not _has_default_form(stored, home, run_id):
            continue
        if stored.is_dir() and not place.is_dir():
            move.elsewhere.append(run_id)
            continue
        tables.execute(POINT_RUN, (place.as_uri(), run_id))
        if place.is_dir():
            move.moved.append(run_id)
        elif tables.execute(HAD_ARTIFACTS, (run_id, COMMITTED_TAG, f"{INTERNAL_PREFIX}%")).fetchone():
            move.lost.append(run_id)
    return move


def _has_default_form(place: Path, home: Path, run_id: str) -> bool:
    """Returns whether the place has MLflow's default form for a run of this experiment."""
    return place.parts[-4:] == (ROOT, home.name, run_id, RUN_FOLDER)


def _path(uri: str | None) -> Path | None:
    """Returns the folder of a URI as MLflow decodes it, even without a scheme; None if the path is not absolute."""
    parts = urlsplit(uri or "")
    path = {"": unquote(uri or ""), "file": unquote(parts.path)}.get(parts.scheme, "")
    return Path(path) if os.path.isabs(path) and not parts.netloc else None


def _print_move(move: Move, experiment: str, stored: Path, home: Path) -> None:
    start = f"note: artifacts of experiment {experiment}"
    if move.moved:
        print(f"{start}: the store was moved, those of {_runs(move.moved)} are in {home} now", file=sys.stderr)
    if move.elsewhere:
        print(f"{start}: those of {_runs(move.elsewhere)} are in {stored}, new ones in {home}", file=sys.stderr)
    if move.lost:
        print(
            f"{start}: those of {_runs(move.lost)} were in {stored} and are missing there: put them into {home}",
            file=sys.stderr,
        )


def _runs(ids: list[str]) -> str:
    return counted(len(ids), "earlier run")
