"""Whole studies on a real Ray cluster on this machine: a node is lost, the driver killed, nothing lost or doubled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runner.record import spool
from runner.study import studystate
from tests.support import mlflowruns, rayclusters
from tests.support.processes import SMALL_CACHE
from tests.support.rayclusters import RayCluster
from tests.support.stores import free_port

if TYPE_CHECKING:
    from mlflow.entities import Run

pytestmark = [pytest.mark.whole, pytest.mark.slow]

CLIENT_PORT = free_port()
CELLS = """
    name: cells
    sessions: 2
    matrix: {gpu: cpu, model: tiny, ctx: [64, 96]}
"""
PAIRS = """
    name: pairs
    sessions: 3
    matrix: {gpu: cpu, model: tiny, ctx: 64}
    arms: {a: {cache: dynamic}, b: {cache: static}}
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with rayclusters.started([["H100"], ["L4"]], ray_client_server_port=CLIENT_PORT) as found:
        yield found


def study(folder: Path, text: str) -> Path:
    file = folder / "study.yaml"
    file.write_text(text.replace("\n    ", "\n"), encoding="utf-8")
    return file


def begun(folder: Path, address: str, *arguments: str) -> subprocess.Popen[str]:
    """Starts the command, with the store in the folder's mlflow.db."""
    return started(folder, [sys.executable, "-m", "runner", "study", "study.yaml", "--fleet", address, *arguments])


def started(folder: Path, command: Sequence[str]) -> subprocess.Popen[str]:
    variables = {
        "PATH": mlflowruns.PATH,
        "PYTHONPATH": f"{SMALL_CACHE}{os.pathsep}{rayclusters.LIGHT}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
    }
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until_session(process: subprocess.Popen[str], number: int) -> list[str]:
    """Returns the lines of the command up to that of its n-th session."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(f"{number}  "):
            return lines
    raise AssertionError("".join(lines) + (process.stderr.read() if process.stderr else ""))


def whole(folder: Path, address: str) -> str:
    """Runs the command to its end, and returns its output."""
    process = begun(folder, address)
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, out + err
    return out


def runs(folder: Path) -> list[Run]:
    """Returns the runs of the store."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return list(client.search_runs([each.experiment_id for each in client.search_experiments()]))


def committed(folder: Path) -> Counter[str]:
    """Returns how many runs of the store name each session."""
    sessions = [run for run in runs(folder) if "session" in run.data.tags and run.info.status == "FINISHED"]
    return Counter(run.data.tags["session"] for run in sessions)


def spooled(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in spool.record_files(folder / "spool")]


def check_each_once(folder: Path, count: int) -> None:
    records = spooled(folder)
    assert all(record["valid"] for record in records), [record["reasons"] for record in records]
    assert committed(folder) == {record["session"]["id"]: 1 for record in records}
    assert len(records) == count
    assert not list((folder / "spool" / studystate.FOLDER).glob("arrived/*"))


def test_a_lost_nodes_sessions_are_measured_elsewhere(cluster: RayCluster, tmp_path: Path) -> None:
    study(tmp_path, CELLS)
    cluster.add_node()
    process = begun(tmp_path, cluster.address)
    until_session(process, 1)
    cluster.kill_node(-1)
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, out + err
    assert "4 done, 0 failed, 0 left" in out
    check_each_once(tmp_path, 4)
    assert sorted((r["cell"]["ctx"], r["session"]["index"]) for r in spooled(tmp_path)) == [
        (ctx, index) for ctx in (64, 96) for index in range(2)
    ]


def test_a_killed_driver_is_started_again_and_continues(cluster: RayCluster, tmp_path: Path) -> None:
    study(tmp_path, PAIRS)
    process = begun(tmp_path, cluster.address)
    until_session(process, 1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    out = whole(tmp_path, cluster.address)
    assert "pairs: 1 A/B: 1 done" in out
    check_each_once(tmp_path, 6)
    manifests = [json.loads(path.read_text()) for path in spool.manifest_files(tmp_path / "spool")]
    assert [[len(block["sessions"]) for block in each["blocks"]] for each in manifests] == [[4, 2]]
    assert whole(tmp_path, cluster.address).startswith("pairs: 1 A/B: 1 done\n")


def test_each_gpu_is_sought_on_the_node_that_has_it(cluster: RayCluster, tmp_path: Path) -> None:
    """The accelerators are made up, so the node that was chosen says that it has no such card."""
    study(tmp_path, "sessions: 1\nmatrix: {gpu: [h100, l4, l40s], model: qwen2.5-7b, ctx: 2048}\n")
    process = begun(tmp_path, cluster.address, "--spool", "spool")
    out, err = process.communicate(timeout=200)
    assert process.returncode == 30, out + err
    failed = [line for line in out.splitlines() if line.startswith("failed:")]
    for line, gpu, number in zip(failed, ("h100", "l4"), (0, 1), strict=True):
        assert f"eager dynamic {gpu}: gpu-not-found: node " in line
        assert f" {cluster.name(number)}: " in line
    assert "note: no node of the fleet has l40s" in err


@pytest.mark.usefixtures("cluster")
def test_a_study_goes_through_rays_client_server(tmp_path: Path) -> None:
    study(tmp_path, CELLS.replace("[64, 96]", "64").replace("sessions: 2", "sessions: 1"))
    assert "cells: 1 cell: 1 done" in whole(tmp_path, f"ray://127.0.0.1:{CLIENT_PORT}")
    check_each_once(tmp_path, 1)


def test_the_run_of_mlflow_is_the_studys_over_a_fleet(cluster: RayCluster, tmp_path: Path) -> None:
    study(tmp_path, CELLS)
    mlflowruns.copied(tmp_path)
    process = started(tmp_path, mlflowruns.command("study", "file=study.yaml", f"fleet={cluster.address}"))
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, out + err
    assert "4 done, 0 failed, 0 left" in out
    check_each_once(tmp_path, 4)
    (run,) = [each for each in runs(tmp_path) if "session" not in each.data.tags]
    assert (run.info.status, run.data.tags["study"], run.data.metrics["study/sessions_done"]) == (
        "FINISHED",
        "cells",
        4,
    )


def test_ctrl_c_stops_the_sessions_of_the_nodes(cluster: RayCluster, tmp_path: Path) -> None:
    study(tmp_path, CELLS)
    process = begun(tmp_path, cluster.address, "--spool", "spool")
    until_session(process, 1)
    began_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped by Ctrl-C; the same command continues" in err
    assert time.monotonic() - began_s < 20
    assert all(record["outcome"]["status"] == "measured" for record in spooled(tmp_path))
