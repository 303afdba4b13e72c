"""Keeps a run's artifacts beside the SQLite database that is open, in `mlruns/<experiment>/<run>/artifacts`.

MLflow writes that place into the database as an absolute path when an experiment is made, and once more into every run.
After the store's folder is moved, renamed or copied, those paths name the old folder: new artifacts would make it anew,
earlier ones would not be found. And a path with a `%` in it is read by MLflow as another than it was written.

Corrected are only experiments that runs of ours are in, and only places of the form that MLflow gives by itself.
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

from runner.store import address
from runner.store.look import sqlitefile
from runner.store.saved_views import CELLS, TAG_PREFIX
from runner.store.session_run import COMMITTED_TAG

if TYPE_CHECKING:
    import sqlite3

    from mlflow import MlflowClient

ROOT, OF_RUN = "mlruns", "artifacts"
"""MLflow's names: of the folder beside a database, and of a run's folder below its id."""
OWN = "decode_floor."
"""What our own tags begin with, that no person reads."""
ROOT_VARIABLE = "_MLFLOW_SERVER_ARTIFACT_ROOT"
"""MLflow's own, by which its server tells a store in another process of the same."""

OURS = "SELECT experiment_id FROM experiment_tags WHERE key = ?"
"""Experiments that have our views: each that a run of ours was committed to."""
EXPERIMENT = "SELECT artifact_location, name FROM experiments WHERE experiment_id = ?"
OF_ONE_RUN = "SELECT experiment_id, artifact_uri FROM runs WHERE run_uuid = ?"
RUNS_ELSEWHERE = (
    "SELECT run_uuid, artifact_uri FROM runs WHERE experiment_id = ?"
    " AND substr(artifact_uri, 1, ?) <> ? AND substr(artifact_uri, 1, ?) <> ?"
)
HAD_ARTIFACTS = (
    "SELECT 1 FROM tags JOIN runs ON tags.run_uuid = runs.run_uuid"
    " WHERE tags.run_uuid = ? AND (key = ? OR (status = 'FINISHED' AND key LIKE ?))"
)
"""A run of ours that is whole: one that MLflow has just made, or that failed before, had none."""
POINT_EXPERIMENT = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
POINT_RUN = "UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?"


@dataclass(frozen=True)
class Move:
    """The fate of an experiment's runs: those found beside the database, those still elsewhere, those in neither."""

    found: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


@contextmanager
def beside(uri: str) -> Iterator[None]:
    """While MLflow makes its client: if it makes a store, too, let the artifacts be beside the file rather than in the
    working folder. It cannot make one at all where that folder's path has a quotation mark in it."""
    file = _file(uri)
    if file is None or ROOT_VARIABLE in os.environ:
        yield
        return
    os.environ[ROOT_VARIABLE] = (file.parent / ROOT).as_uri()
    try:
        yield
    finally:
        del os.environ[ROOT_VARIABLE]


def follow(uri: str) -> None:
    """Points our experiments and their runs to the artifacts beside the database, if that was moved. Prints on stderr
    what was done, and where artifacts are that were left behind. Does nothing for a store that is no SQLite file."""
    if (file := _file(uri)) is not None:
        with _tables(file) as tables:
            for (experiment,) in tables.execute(OURS, (f"{TAG_PREFIX}{CELLS}",)).fetchall():
                _settle(tables, file, str(experiment))


def settled(client: MlflowClient, experiment: str) -> str:
    """The experiment's id, once the runs that are made in it have their artifacts beside the database."""
    if (file := _file(client.tracking_uri)) is not None:
        with _tables(file) as tables:
            _settle(tables, file, experiment)
    return experiment


def settle_run(client: MlflowClient, run_id: str) -> None:
    """Have the run's artifacts where its experiment's are, before more are written. Those that it has in another
    store's folder are copied: nothing is written there."""
    if (file := _file(client.tracking_uri)) is None:
        return
    with _tables(file) as tables:
        experiment, uri = tables.execute(OF_ONE_RUN, (run_id,)).fetchone()
        home, stored = _settle(tables, file, str(experiment)), _path(uri)
        if home is None or stored is None or not _is_of_run(stored, home, run_id):
            return
        wanted = home / run_id / OF_RUN
        if stored == wanted:
            return
        if stored.is_dir() and not wanted.exists():
            shutil.copytree(stored, wanted)
        tables.execute(POINT_RUN, (wanted.as_uri(), run_id))


def _file(uri: str) -> Path | None:
    file = address.sqlite_file(uri)
    return None if file is None else Path(os.path.realpath(file))


@contextmanager
def _tables(file: Path) -> Iterator[sqlite3.Connection]:
    """A transaction over MLflow's tables, which MLflow has made or found to be its own before."""
    import sqlite3

    with closing(sqlite3.connect(file)) as tables, tables:
        yield tables


def _settle(tables: sqlite3.Connection, file: Path, experiment: str) -> Path | None:
    """The folder of an experiment's artifacts, the database corrected; None where it has no such form."""
    found = tables.execute(EXPERIMENT, (experiment,)).fetchone()
    stored = None if found is None else _path(found[0])
    if stored is None or stored.parts[-2:] != (ROOT, experiment):
        return None
    home = _home(stored, file)
    move = _follow_runs(tables, home)
    if home != stored:
        tables.execute(POINT_EXPERIMENT, (home.as_uri(), experiment))
        _tell(move, found[1], stored, home)
    return home


def settled_place(uri: str, stored: Path) -> Path:
    """The folder of an experiment's artifacts, or of a run's, that those which the database has written down become
    when the store was moved."""
    file, parts = _file(uri), stored.parts
    if file is not None and parts[-2:-1] == (ROOT,):
        return _home(stored, file)
    if file is not None and (parts[-4:-3], parts[-1:]) == ((ROOT,), (OF_RUN,)):
        return _home(stored.parents[1], file) / stored.relative_to(stored.parents[1])
    return stored


def _home(stored: Path, file: Path) -> Path:
    """The place of an experiment's artifacts: beside the database, or where somebody chose it. That one exists, and
    belongs to no other store, which a copy of the database would write into."""
    beside = file.parent / ROOT / stored.name
    if stored == beside:
        return stored
    others = list(sqlitefile.stores_in(stored.parent.parent))
    is_same = any(other.samefile(file) for other in others)
    return stored if is_same or (stored.parent.is_dir() and not others and not beside.is_dir()) else beside


def _follow_runs(tables: sqlite3.Connection, home: Path) -> Move:
    """Point the runs of an experiment that have another place to where they have their artifacts now."""
    move, uri, path = Move(), f"{home.as_uri()}/", f"{home}/"
    read_by_mlflow = uri if "%" in path else path  # which decodes what it is given
    runs = tables.execute(RUNS_ELSEWHERE, (home.name, len(uri), uri, len(read_by_mlflow), read_by_mlflow))
    for run_id, artifact_uri in runs.fetchall():
        stored, wanted = _path(artifact_uri), home / run_id / OF_RUN
        if stored is None or not _is_of_run(stored, home, run_id):
            continue
        if stored.is_dir() and not wanted.is_dir():
            move.elsewhere.append(run_id)
            continue
        tables.execute(POINT_RUN, (wanted.as_uri(), run_id))
        if wanted.is_dir():
            move.found.append(run_id)
        elif tables.execute(HAD_ARTIFACTS, (run_id, COMMITTED_TAG, f"{OWN}%")).fetchone():
            move.lost.append(run_id)
    return move


def _is_of_run(place: Path, home: Path, run_id: str) -> bool:
    """Is it a place that MLflow gives to a run of this experiment?"""
    return place.parts[-4:] == (ROOT, home.name, run_id, OF_RUN)


def _path(uri: str | None) -> Path | None:
    """The folder that MLflow reads in a URI, decoded even where it has no scheme; None where it is no absolute path."""
    parts = urlsplit(uri or "")
    path = {"": unquote(uri or ""), "file": unquote(parts.path)}.get(parts.scheme, "")
    return Path(path) if os.path.isabs(path) and not parts.netloc else None


def _tell(move: Move, experiment: str, stored: Path, home: Path) -> None:
    start = f"note: artifacts of experiment {experiment}"
    if move.found:
        print(f"{start}: the store was moved, those of {_runs(move.found)} are in {home} now", file=sys.stderr)
    if move.elsewhere:
        print(f"{start}: those of {_runs(move.elsewhere)} are in {stored}, new ones in {home}", file=sys.stderr)
    if move.lost:
        print(
            f"{start}: those of {_runs(move.lost)} were in {stored}, where they are not: put them into {home}",
            file=sys.stderr,
        )


def _runs(ids: list[str]) -> str:
    return "1 earlier run" if len(ids) == 1 else f"{len(ids)} earlier runs"
