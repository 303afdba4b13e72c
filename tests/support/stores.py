"""Real stores, shared by all tests: an SQLite file, an MLflow server in a process of its own, a private PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PG_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
STARTED_WITHIN_S = 120


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite store with all its tables and nothing of ours in it; to be copied, never used."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture(scope="session")
def http_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real `mlflow server` that serves artifacts."""
    with served(tmp_path_factory.mktemp("server")) as uri:
        yield uri


@contextmanager
def served(folder: Path, *options: str) -> Iterator[str]:
    """An `mlflow server` over the folder's mlflow.db, with its artifacts and its log beside it, and with options."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
    ]
    command += [
        "--artifacts-destination",
        str(folder / "artifacts"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with open(folder / "log", "w") as log:
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # four processes that poll
        arguments = [*command, "--workers", "1", *options]
        server = subprocess.Popen(arguments, stdout=log, stderr=log, cwd=folder, env=environment)
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}", folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_until_healthy(uri: str, log: Path) -> None:
    """Fails with the server's log where it does not come up."""
    deadline = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"no mlflow server at {uri}:\n{log.read_text()}")


@pytest.fixture(scope="session")
def postgresql_uri() -> Iterator[str]:
    """A private PostgreSQL cluster on a loopback port."""
    if not PG_BINARIES:
        pytest.skip("debian: postgresql is not installed")
    with private_cluster() as (_, uri):
        yield uri


@contextmanager
def private_cluster() -> Iterator[tuple[Path, str]]:
    """Yields the folder of a PostgreSQL cluster that runs, and the URI of its database."""
    # PostgreSQL's user must be able to reach it: pytest's own folders are closed to others
    folder = Path(tempfile.mkdtemp(prefix="decode-floor-pg-"))
    port = free_port()
    try:
        _make_cluster(folder, port)
        yield folder, f"postgresql://tester:se%40cret@127.0.0.1:{port}/postgres"
    finally:
        _postgres(folder, "pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "stop")
        shutil.rmtree(folder)


def _make_cluster(folder: Path, port: int) -> None:
    if os.getuid() == 0:
        shutil.chown(folder, "postgres")
    (folder / "password").write_text("se@cret")
    os.chmod(folder / "password", 0o644)
    account = ("-A", "md5", "-U", "tester", "--pwfile", str(folder / "password"))
    _postgres(folder, "initdb", "-D", str(folder / "data"), *account, "-E", "UTF8", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    _postgres(folder, "pg_ctl", "-D", str(folder / "data"), "-l", str(folder / "log"), "-w", "-o", options, "start")


def restart_cluster(folder: Path, mode: str) -> None:
    """Restarts the server of a private cluster: `fast` in order, `immediate` as after a crash."""
    _postgres(folder, "pg_ctl", "-D", str(folder / "data"), "-l", str(folder / "log"), "-w", "-m", mode, "restart")


def _postgres(folder: Path, program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs; they refuse to run as root."""
    user = pwd.getpwnam("postgres").pw_name if os.getuid() == 0 else None
    subprocess.run([str(PG_BINARIES[-1] / program), *arguments], check=True, user=user, cwd=folder, capture_output=True)
