"""A team's server, with the real MLflow and the real PostgreSQL: filled, read, stopped, and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from mlflow.store.tracking.dbmodels.initial_models import Base

from runner.errors import BadValue, StoreUnreachable
from runner.processes import service, signals
from runner.record import record
from runner.store import postgresql, teamserver
from tests.support import mlflowruns
from tests.support.processes import ROOT, runner
from tests.support.records import example_record
from tests.support.stores import PG_BINARIES, free_port

pytestmark = pytest.mark.skipif(not PG_BINARIES, reason="debian: postgresql is not installed")

STARTS_S = 120.0


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder that PostgreSQL's user can enter: pytest's own are closed to others."""
    made = Path(tempfile.mkdtemp(prefix="df-server-", dir="/tmp"))
    made.chmod(0o755)
    yield made / "a folder" / "server"
    shutil.rmtree(made)


@contextmanager
def started(data: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The command `server` in a session of its own, as at a terminal; its address and its process."""
    command = [sys.executable, "-m", "runner", "server", "--port", str(free_port()), "--data", str(data), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("export MLFLOW_TRACKING_URI="), process.communicate()
            yield line.partition("=")[2].strip(), process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(timeout=STARTS_S)


def servants(data: Path) -> list[str]:
    """The command lines of all processes that name the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(data) in command and "runner server" not in command:
            found.append(command)
    return found


def stopped(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Sends the signal to the whole group, as a terminal does; the exit code and the last lines."""
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=STARTS_S)
    return process.returncode, said


@pytest.mark.slow
@pytest.mark.whole
def test_what_a_team_stores_is_there_after_the_server_was_stopped_and_started_again(data: Path, tmp_path: Path) -> None:
    record.write(example_record(), tmp_path / "spool" / "r.json")
    with started(data, "--workers", "2") as (uri, process):
        first = runner(tmp_path, "import", "spool", MLFLOW_TRACKING_URI=uri)
        assert (first.returncode, first.stdout) == (0, "1 record imported, 0 already there\n"), first.stderr
        assert len(servants(data)) >= 2
        second = runner(tmp_path, "server", "--port", str(free_port()), "--data", str(data))
        assert (second.returncode, second.stderr) == (
            11,
            f"error: a server uses {data}: stop it, or choose another folder with --data\n",
        )
        assert stopped(process, signal.SIGINT) == (0, f"its data are in {data}; Ctrl-C stops it\nstopped by Ctrl-C\n")
        assert servants(data) == []
    assert [*(data / "artifacts").rglob("record.json")] != []
    with started(data) as (uri, process):
        again = runner(tmp_path, "import", "spool", MLFLOW_TRACKING_URI=uri)
        assert again.stdout == "0 records imported, 1 already there\n", again.stderr
        table = subprocess.run(
            [sys.executable, "-m", "analysis", "floor", "--format", "csv"],
            env={**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": uri},
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert len(table.stdout.splitlines()) == 2
        process.kill()  # the servers end by themselves
        process.wait()
        deadline = time.monotonic() + 60
        while servants(data) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert servants(data) == []


@pytest.mark.slow
@pytest.mark.whole
def test_mlflow_run_measures_into_it(data: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    mlflowruns.copied(tmp_path)
    command = mlflowruns.command("cell", "gpu=cpu", "model=tiny", "ctx=64")
    with started(data) as (uri, _):
        lock = {"DECODE_FLOOR_LOCK_DIR": str(tmp_path)}
        environment = {**os.environ, **lock, "PATH": mlflowruns.PATH, "MLFLOW_TRACKING_URI": uri}
        measured = subprocess.run(
            [*command, "--experiment-name", "decode-floor"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert measured.returncode == 0, measured.stdout + measured.stderr
        client = MlflowClient(uri)
        (run,) = client.search_runs([client.get_experiment_by_name("decode-floor").experiment_id])
        assert run.info.status == "FINISHED"
        assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
        # and a cell without MLflow's entry point
        request = ("--gpu", "cpu", "--model", "tiny", "--ctx", "64")
        done = runner(tmp_path, "cell", *request, MLFLOW_TRACKING_URI=uri, **lock)
        assert done.returncode == 0, done.stderr
        assert len(client.search_runs([run.info.experiment_id])) == 2


@pytest.mark.slow
@pytest.mark.whole
def test_a_server_at_another_address_is_asked_there(data: Path) -> None:
    """It does not answer at 127.0.0.1."""
    with started(data, "--host", "127.0.0.2") as (uri, _):
        assert uri.startswith("http://127.0.0.2:")
        urllib.request.urlopen(f"{uri}/health", timeout=10).close()


@pytest.mark.slow
def test_a_server_that_cannot_start_stops_its_postgresql_and_says_why(data: Path) -> None:
    def run(*options: str) -> str:
        with pytest.raises(StoreUnreachable) as caught:
            teamserver.run("http://127.0.0.1:9", "127.0.0.1", data, options, lambda: pytest.fail("answers"))
        assert servants(data) == []
        return str(caught.value)

    refused = run("--app-name", "nonsense")
    assert refused.startswith("MLflow's server does not start (")
    assert refused.endswith(f"): {data}/mlflow.log has more")
    served = postgresql.service(data / "postgresql", data / "postgresql.log")
    with (
        signals.held(),
        service.running(served, lambda: postgresql.answers(data / "postgresql")),
        psycopg.connect(postgresql.uri(data / "postgresql"), autocommit=True) as link,
    ):
        for table in ("alembic_version (version_num text)", "experiments (id int)", "runs (id int)"):
            link.execute(f"CREATE TABLE {table}")
        link.execute("INSERT INTO alembic_version VALUES ('ffffffffffff')")  # of a later MLflow
    assert "ffffffffffff" in run()


@pytest.mark.slow
def test_a_creation_of_mlflows_tables_that_was_killed_is_begun_anew(data: Path) -> None:
    """MLflow commits its first tables before it migrates them: a server that is killed in between leaves them."""
    data.mkdir(parents=True)
    folder = data / "postgresql"
    served = postgresql.service(folder, data / "postgresql.log")
    uri = postgresql.uri(folder)
    with signals.held(), service.running(served, lambda: postgresql.answers(folder)):
        engine = sqlalchemy.create_engine(uri)
        Base.metadata.create_all(engine)
        teamserver._check_tables(uri)
        assert sqlalchemy.inspect(engine).get_table_names() == []
        Base.metadata.create_all(engine)
        with engine.begin() as link:
            link.execute(sqlalchemy.text("INSERT INTO experiments (name) VALUES ('of an older MLflow')"))
        with pytest.raises(StoreUnreachable, match="has the schema unknown of an older MLflow"):
            teamserver._check_tables(uri)
        assert len(sqlalchemy.inspect(engine).get_table_names()) == len(Base.metadata.tables)
        engine.dispose()


def test_a_folder_that_is_in_use_is_refused(tmp_path: Path) -> None:
    with teamserver._claimed(tmp_path), pytest.raises(BadValue, match=f"a server uses {tmp_path}: stop it"):
        teamserver.run("http://127.0.0.1:9", "127.0.0.1", tmp_path, [], lambda: pytest.fail("answers"))
