"""Types of the check of a store before measuring: its result, and the protocol of a backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from runner.errors import StoreUnreachable
from runner.store.look import artifactroot
from runner.store.session_run import OWNER_TAG, SOURCE_TAG

DEFAULT_ID = "0"
"""Id of MLflow's default experiment, which every store has. A plain `mlflow run .` uses it."""
OWNER_TAGS = (OWNER_TAG, SOURCE_TAG)
"""Tags that say whose a run is."""
RESTORE = "restore it with `mlflow experiments restore --experiment-id {}`"


class Away(StoreUnreachable):
    """A server that does not answer now and may answer later, so that a session can be measured."""


@dataclass(frozen=True)
class Experiment:
    """An experiment of the store. `root` is the URI or path of its artifacts."""

    id: str
    name: str
    is_deleted: bool
    root: str


@dataclass(frozen=True)
class StoredRun:
    """A run of the store. `root` is the URI or path of its artifacts."""

    id: str
    is_deleted: bool
    root: str


@dataclass(frozen=True)
class RunningRun:
    """A run that is RUNNING, with its start in ms since the epoch, and those of its tags that say whose it is."""

    id: str
    started_ms: int
    tags: Mapping[str, str]


class Backend(Protocol):
    """Access to a store for the check. Every method raises Away, StoreUnreachable and the driver's errors."""

    def by_id(self, experiment_id: str) -> Experiment | None:
        """Returns the experiment with this id, deleted or not."""
        ...

    def by_name(self, name: str) -> Experiment | None:
        """Returns the experiment with this name, deleted or not."""
        ...

    def run(self, run_id: str) -> StoredRun | None:
        """Returns the run with this id, deleted or not."""
        ...

    def default_root(self) -> str | None:
        """Returns the artifact root of a new experiment, None if it is unknown."""
        ...

    def check_root(self, root: str) -> None:
        """Raises StoreUnreachable or MissingPackage if this host cannot write artifacts to the root."""
        ...


class NewStore:
    """Backend of a store that does not exist yet. MLflow creates it with the default experiment only."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def by_id(self, experiment_id: str) -> Experiment | None:
        root = artifactroot.default_root(self._uri)
        return Experiment(DEFAULT_ID, "Default", False, root) if experiment_id == DEFAULT_ID else None

    def by_name(self, _name: str) -> Experiment | None:
        return None

    def run(self, _run_id: str) -> StoredRun | None:
        return None

    def default_root(self) -> str | None:
        return artifactroot.default_root(self._uri)

    def check_root(self, root: str) -> None:
        artifactroot.check(self._uri, root)


def running_runs(rows: Iterable[tuple[str, int, str, str]]) -> list[RunningRun]:
    """Returns the runs of rows of id, start, and one tag's name and value, the oldest first."""
    starts: dict[str, int] = {}
    tags: dict[str, dict[str, str]] = {}
    for run_id, started_ms, name, value in rows:
        starts[run_id] = started_ms
        tags.setdefault(run_id, {})[name] = value
    return sorted((RunningRun(run_id, starts[run_id], tags[run_id]) for run_id in tags), key=lambda run: run.started_ms)
