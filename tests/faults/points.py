"""The fault points: each kind of fault, how many seeded points it has, and what it needs."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.faults import clocksetting, crowding, damaging, filling, killing, stopping

SEED = os.environ.get("FAULTS_SEED", "23")
Trial = Callable[..., tuple[str, int]]
"""Runs one fault in a scene; returns its moment in words, and how many valid sessions there must be."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault. `needs` are names of fixtures whose values the trial receives."""

    name: str
    trial: Trial
    points: int
    needs: tuple[str, ...] = ()
    makes_store: bool = False
    """whether the store does not exist before the trial"""


@dataclass(frozen=True)
class Point:
    """One fault point. Its seed says when the fault happens."""

    kind: Kind
    number: int

    def __str__(self) -> str:
        return f"{self.kind.name} {self.number}".replace(" ", "-")

    def run(self, scene: Any, *values: Any) -> tuple[str, int]:
        """Runs the trial with its own random numbers."""
        return self.kind.trial(scene, random.Random(f"{SEED} {self}"), *values)


KINDS = (
    Kind("worker killed", killing.worker, 5),
    Kind("worker killed at a write", killing.worker_at_write, 3),
    Kind("command killed", killing.parent, 7),
    Kind("command killed at a write", killing.command_at_write, 5, ("command_writes",)),
    Kind("import killed at a write", killing.import_at_write, 6, ("records", "import_writes")),
    Kind(
        "first import killed at a write",
        killing.first_import_at_write,
        8,
        ("records", "first_import_writes"),
        makes_store=True,
    ),
    Kind("study killed", killing.study, 5),
    Kind("mlflow run killed", killing.mlflow, 3),
    Kind("entry of mlflow run killed", killing.entry, 3),
    Kind("mlflow run, entry and worker killed", killing.whole_run, 3),
    Kind("tracking server away", stopping.server_away, 2, ("server",)),
    Kind("tracking server restarted", stopping.server_restarted, 2, ("server",)),
    Kind("PostgreSQL restarted", stopping.postgresql_restarted, 3, ("cluster",)),
    Kind("eight imports into a new store", crowding.importers, 2, ("committed",), makes_store=True),
    Kind("eight commands on a new store", crowding.cells, 1, makes_store=True),
    Kind("spool full", filling.spool_full, 2, ("mount",)),
    Kind("spool fills up", filling.spool_fills_up, 2, ("mount",)),
    Kind("store's disk full", filling.store_full, 2, ("mount",)),
    Kind("record truncated", damaging.truncated, 2, ("record",)),
    Kind("clock set", clocksetting.clock_set, 4, ("faketime",)),
)
POINTS = tuple(Point(kind, number) for kind in KINDS for number in range(1, kind.points + 1))
CHEAP = {
    "first-import-killed-at-a-write-1",
    "first-import-killed-at-a-write-2",
    "worker-killed-1",
}
"""Points that `make test` has, too."""
