"""Faults: a tracking server and a database that end in the middle of a study, and come back."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from runner.errors import StoreUnreachable
from tests.faults.killing import await_moment, write_study
from tests.faults.scene import Scene
from tests.support import stores

SESSIONS = 2
ENDS = (signal.SIGTERM, signal.SIGKILL)

Way = TypeVar("Way")


class TrackingServer:
    """An `mlflow server` that can be started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, stores.free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db", "--workers", "1"]
        command += ["--artifacts-destination", str(self._folder / "artifacts")]
        log = self._folder / "log"
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=self._folder, env=environment, start_new_session=True
            )
        stores.wait_until_healthy(self.uri, log)

    def stop(self, number: signal.Signals) -> None:
        """Ends the server's processes with a signal."""
        if self._process is not None:
            os.killpg(self._process.pid, number)
            self._process.wait(timeout=30)
            self._process = None


@contextmanager
def tracking_server(folder: Path) -> Iterator[TrackingServer]:
    """Yields a server that runs."""
    server = TrackingServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)


@contextmanager
def _study(scene: Scene, rng: random.Random, ways: Sequence[Way]) -> Iterator[tuple[Way, str]]:
    """Yields one of the ways to end a server, and the random moment of a study at which it is to end, in words.

    Waits for the end of the study after that. The import stores what the store has missed.
    """
    command = scene.start("study", write_study(scene, SESSIONS))
    session, way = rng.randint(1, SESSIONS), rng.choice(ways)
    moment = await_moment(command, scene, rng, session)
    yield way, f"session {session}, {moment}"
    assert command.end() in (0, StoreUnreachable.exit_code), command.text


def server_away(scene: Scene, rng: random.Random, server: TrackingServer) -> tuple[str, int]:
    """The tracking server ends during a session and starts again after the study."""
    scene.uri = server.uri
    with _study(scene, rng, ENDS) as (number, moment):
        server.stop(number)
    server.start()
    scene.import_spool()
    return f"{number.name} in {moment}", SESSIONS


def server_restarted(scene: Scene, rng: random.Random, server: TrackingServer) -> tuple[str, int]:
    """The tracking server ends and starts again at once, during a session."""
    scene.uri = server.uri
    with _study(scene, rng, ENDS) as (number, moment):
        server.stop(number)
        server.start()
    scene.import_spool()
    return f"{number.name} in {moment}", SESSIONS


def postgresql_restarted(scene: Scene, rng: random.Random, cluster: tuple[Path, str]) -> tuple[str, int]:
    """PostgreSQL restarts during a session, at once (`immediate`, as after a crash) or in order (`fast`)."""
    folder, scene.uri = cluster
    with _study(scene, rng, ("fast", "immediate")) as (mode, moment):
        stores.restart_cluster(folder, mode)
    scene.import_spool()
    return f"{mode} in {moment}", SESSIONS
