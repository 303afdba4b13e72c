"""The results of a look at a store, before anything is measured: without MLflow, whose import takes seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from runner.errors import StoreUnreachable
from runner.store.look import artifactroot

FIRST_ID = "0"
"""The experiment that MLflow makes with every store."""


RESTORE = "restore it with `mlflow experiments restore --experiment-id {}`"


class Away(StoreUnreachable):
    """A server that does not answer now, and may later: no reason not to measure."""


@dataclass(frozen=True)
class Experiment:
    """`root` is the URI or path below which its artifacts are."""

    id: str
    name: str
    is_deleted: bool
    root: str


@dataclass(frozen=True)
class SeenRun:
    """`root` is where its artifacts are."""

    id: str
    is_deleted: bool
    root: str


class Backend(Protocol):
    """A store as it is looked at. Every method raises Away or StoreUnreachable, and what its driver raises."""

    def by_id(self, experiment_id: str) -> Experiment | None:
        """The experiment of that id, deleted or not."""
        ...

    def by_name(self, name: str) -> Experiment | None:
        """The experiment of that name, deleted or not."""
        ...

    def run(self, run_id: str) -> SeenRun | None:
        """The run of that id, deleted or not."""
        ...

    def usual_root(self) -> str | None:
        """Returns where the artifacts of a new experiment will be, as far as that can be known."""
        ...

    def check_root(self, root: str) -> None:
        """Raises StoreUnreachable or MissingPackage where artifacts cannot be written there from here."""
        ...


class NotThereYet:
    """A store that will be made: MLflow's own experiment is all that it has then. See `Backend`."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def by_id(self, experiment_id: str) -> Experiment | None:
        root = artifactroot.usual(self._uri)
        return Experiment(FIRST_ID, "Default", False, root) if experiment_id == FIRST_ID else None

    def by_name(self, _name: str) -> Experiment | None:
        return None

    def run(self, _run_id: str) -> SeenRun | None:
        return None

    def usual_root(self) -> str | None:
        return artifactroot.usual(self._uri)

    def check_root(self, root: str) -> None:
        artifactroot.check(self._uri, root)
