"""The command line that starts a worker in a container, and how it is ended whatever happens."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from runner.cell.jsonform import to_json
from runner.errors import BadValue
from runner.job import Device, Job
from runner.launch import process
from runner.launch.container.engine import Engine, Image
from runner.launch.container.user import User
from runner.launch.container.worker import ContainedWorker, checkpoint_folders
from runner.machine import hostlock
from tests.runner.launch.container.fake import DIGEST, FakeEngine, inspected, transcript
from tests.support.processes import ROOT

UUID = "GPU-00000000-aaaa-bbbb-cccc-dddddddddddd"
SLEEPS = [sys.executable, "-c", "import sys, time; print('up', flush=True); time.sleep(60)"]


@pytest.fixture
def contained(tmp_path: Path, tiny_job: Job) -> Callable[..., tuple[ContainedWorker, FakeEngine]]:
    """A worker of the tiny job before a fake engine: `contained(answers, checkpoint=…)`."""
    Path(tiny_job.record_path).parent.mkdir()

    def make(
        answers: dict[str, Any] | None = None, name: str = "podman", **fields: Any
    ) -> tuple[ContainedWorker, FakeEngine]:
        fake = FakeEngine(tmp_path / "engines", name, answers or {})
        image = Image("decode-floor:cpu", DIGEST, {})
        engine = Engine(name, str(fake.program))
        return ContainedWorker(engine, image, User("7:8", ("--userns", "keep-id")), replace(tiny_job, **fields)), fake

    return make


def options(command: list[str], name: str) -> list[str]:
    """The values of an option, in order."""
    return [value for key, value in pairwise(command) if key == name]


def test_the_container_is_closed_but_for_what_the_session_needs(
    contained: Callable[..., tuple[ContainedWorker, FakeEngine]], tmp_path: Path
) -> None:
    worker, _ = contained()
    hostlock.folder().mkdir(exist_ok=True)
    command = worker.command(tmp_path / "job" / "job.json")
    assert command[1] == "run"
    assert command[-2:] == [DIGEST, str(tmp_path / "job" / "job.json")]
    assert {"--rm", "--read-only", "--interactive", "--no-healthcheck"} <= set(command)
    assert options(command, "--network") == ["none"]
    assert options(command, "--cap-drop") == ["all"]
    assert "no-new-privileges" in options(command, "--security-opt")
    assert options(command, "--pull") == ["never"]
    assert options(command, "--user") == ["7:8"]
    assert options(command, "--userns") == ["keep-id"]
    assert int(options(command, "--memory")[0]) > 2**28
    mounts = options(command, "--mount")
    writable = {tmp_path / "job", tmp_path / "spool", hostlock.folder().resolve()}
    assert {f"type=bind,source={path},target={path}" for path in writable} == {
        mount for mount in mounts if not mount.endswith(",readonly")
    }
    assert all(mount.startswith("type=bind,source=/etc/machine-id,") for mount in mounts if mount.endswith(",readonly"))
    assert "--gpus" not in command
    assert "--device" not in command


def test_variables_are_named_on_the_command_line_and_valued_elsewhere(
    contained: Callable[..., tuple[ContainedWorker, FakeEngine]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret-token")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    worker, _ = contained(device=Device("cuda", UUID, "l4", "NVIDIA L4", 300.0, True, "580.65.06"))
    command = worker.command(tmp_path / "job.json")
    names = options(command, "--env")
    assert {"CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "OMP_NUM_THREADS", "DECODE_FLOOR_ENDS_WITH_INPUT"} <= set(names)
    assert all(re.fullmatch(r"[A-Z_]+", name) for name in names)
    assert "HF_TOKEN" not in names
    assert not any("secret-token" in word for word in command)
    environment = worker.environment()
    assert (environment["CUDA_VISIBLE_DEVICES"], environment["OMP_NUM_THREADS"]) == (UUID, "3")


def test_the_gpu_goes_in_by_its_uuid(
    contained: Callable[..., tuple[ContainedWorker, FakeEngine]], tmp_path: Path
) -> None:
    device = Device("cuda", UUID, "l4", "NVIDIA L4", 300.0, True, "580.65.06")
    docker, _ = contained(name="docker", device=device)
    assert options(docker.command(tmp_path / "job.json"), "--gpus") == [f"device={UUID}"]
    podman, _ = contained(name="podman", device=device)
    assert options(podman.command(tmp_path / "job.json"), "--device") == [f"nvidia.com/gpu={UUID}"]


def test_weights_are_mounted_where_they_really_lie(
    contained: Callable[..., tuple[ContainedWorker, FakeEngine]], tmp_path: Path
) -> None:
    # as in the hub's cache: a snapshot of links into a folder of blobs
    blobs, snapshot = tmp_path / "models--x" / "blobs", tmp_path / "models--x" / "snapshots" / "abc"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (blobs / "0123").write_text("weights")
    (snapshot / "model.safetensors").symlink_to("../../blobs/0123")
    (snapshot / "config.json").write_text("{}")
    assert checkpoint_folders(snapshot) == (snapshot, blobs)
    worker, _ = contained(checkpoint=str(snapshot))
    mounts = options(worker.command(tmp_path / "job" / "job.json"), "--mount")
    assert {f"type=bind,source={path},target={path},readonly" for path in (snapshot, blobs)} <= set(mounts)


def test_links_on_the_way_to_the_weights_are_followed_one_by_one(tmp_path: Path) -> None:
    for name in ("ck", "mid", "end"):
        (tmp_path / name).mkdir()
    (tmp_path / "end" / "w").write_text("weights")
    (tmp_path / "mid" / "w").symlink_to(tmp_path / "end" / "w")
    (tmp_path / "ck" / "w").symlink_to("../mid/w")
    assert checkpoint_folders(tmp_path / "ck") == (tmp_path / "ck", tmp_path / "mid", tmp_path / "end")


def test_links_that_lead_nowhere_are_no_weights(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("/no/such/folder/w")
    assert checkpoint_folders(tmp_path) == (tmp_path,)


def test_a_comma_in_a_path_is_no_end_of_it(
    contained: Callable[..., tuple[ContainedWorker, FakeEngine]], tmp_path: Path
) -> None:
    (tmp_path / "a,b").mkdir()
    worker, _ = contained(record_path=str(tmp_path / "a,b" / "record.json"))
    mounts = options(worker.command(tmp_path / "job.json"), "--mount")
    path = tmp_path / "a,b"
    assert f'type=bind,"source={path}","target={path}"' in mounts
    assert [next(csv.reader([mount]))[0] for mount in mounts] == ["type=bind"] * len(mounts)


@pytest.mark.parametrize("folder", ["/", "/tmp", "/opt", "/opt/decode-floor/x", "/opt/venv", "/usr/local/x", "/etc"])
def test_nothing_is_mounted_over_what_the_image_runs(
    contained: Callable[..., tuple[ContainedWorker, FakeEngine]], tmp_path: Path, folder: str
) -> None:
    worker, _ = contained(record_path=str(Path(folder) / "record.json"))
    with pytest.raises(BadValue, match="cannot be mounted into a container, which has its own"):
        worker.command(tmp_path / "job.json")


@pytest.mark.medium
def test_every_call_to_the_engine_has_the_callers_own_home(
    contained: Callable[..., tuple[ContainedWorker, FakeEngine]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By which rootless Podman finds its images, and Docker its context."""
    monkeypatch.setenv("HOME", "/home/somebody")
    worker, fake = contained({"image inspect": {"out": inspected()}, "run": {"code": 125}})
    worker.engine.image("decode-floor:cpu")
    run(worker)
    calls = fake.calls()
    assert [call["arguments"][0] for call in calls] == ["image", "run", "rm"]
    assert {call["environment"]["HOME"] for call in calls} == {"/home/somebody"}


def run(worker: ContainedWorker, timeout_s: float = 60.0) -> dict[str, Any]:
    return to_json(process.run_worker(worker.job, timeout_s, lambda *_: None, worker))


@pytest.mark.medium
def test_what_the_engine_cannot_start_is_told_in_its_own_words(
    contained: Callable[..., tuple[ContainedWorker, FakeEngine]],
) -> None:
    worker, _ = contained({"run": {"err": transcript("podman-run-refused.txt"), "code": 126}})
    found = run(worker)
    assert found["outcome"]["reason"] == "no-container"
    assert found["outcome"]["message"].startswith("podman could not run the container of decode-floor:cpu; its last")
    assert "error setting rlimit type 7" in found["outcome"]["message"]


@pytest.mark.medium
def test_a_worker_killed_in_its_container_is_told_as_one(
    contained: Callable[..., tuple[ContainedWorker, FakeEngine]],
) -> None:
    worker, fake = contained({"run": {"code": 137}})
    found = run(worker)
    assert (found["outcome"]["signal"], found["outcome"]["reason"]) == ("SIGKILL", "worker-failed")
    assert "the kernel does that when memory runs out" in found["outcome"]["message"]
    assert [call[0] for call in fake.told()] == ["run", "rm"]  # should the client alone have ended


@pytest.mark.medium
def test_a_client_that_is_killed_is_not_told_as_the_worker(
    contained: Callable[..., tuple[ContainedWorker, FakeEngine]],
) -> None:
    dies = [sys.executable, "-c", "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"]
    worker, fake = contained({"run": {"worker": dies}})
    found = run(worker)
    assert found["outcome"]["reason"] == "no-container"
    assert found["outcome"]["message"] == "the client of podman was killed by SIGKILL"
    assert (found["outcome"]["exit_code"], found["outcome"]["signal"]) == (None, None)
    assert "rm" in [call[0] for call in fake.told()]


@pytest.mark.medium
def test_a_container_that_cannot_be_removed_is_told_beside_the_reason(
    contained: Callable[..., tuple[ContainedWorker, FakeEngine]],
) -> None:
    away = {"err": transcript("docker-not-running.txt"), "code": 1}
    worker, _ = contained({"run": {"worker": SLEEPS}, "rm": away})
    found = run(worker, timeout_s=2.0)
    assert found["outcome"]["status"] == "timeout"
    assert "did not finish within 2 s" in found["outcome"]["message"]
    name = f"decode-floor-{worker.job.session.id}"
    assert (
        f"the container {name} may still be running: Cannot connect to the Docker daemon"
        in (found["outcome"]["message"])
    )


@pytest.mark.medium
def test_one_that_is_gone_already_is_removed(
    contained: Callable[..., tuple[ContainedWorker, FakeEngine]],
) -> None:
    worker, fake = contained(
        {"rm": {"err": 'Error: no container with name or ID "x" found: no such container', "code": 1}}
    )
    worker.end()
    assert fake.told() == [["rm", "--force", "--time", "0", worker.name]]
    docker, fake = contained({"rm": {"err": "Error response from daemon: No such container: x", "code": 1}}, "docker")
    docker.end()
    assert fake.told() == [["rm", "--force", docker.name]]


@pytest.mark.medium
def test_one_that_takes_too_long_is_removed_by_name(
    contained: Callable[..., tuple[ContainedWorker, FakeEngine]],
) -> None:
    worker, fake = contained({"run": {"worker": SLEEPS}})
    found = run(worker, timeout_s=2.0)
    assert found["outcome"]["status"] == "timeout"
    assert ["rm", "--force", "--time", "0", f"decode-floor-{worker.job.session.id}"] in fake.told()


@pytest.mark.medium
def test_it_ends_when_the_process_that_started_it_is_killed() -> None:
    """SIGKILL leaves nobody to remove the container: the worker sees the end of its input."""
    waits = "from runner.processes.parentwatch import die_with_input; import time; die_with_input(); time.sleep(60)"
    reads, writes = os.pipe()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DECODE_FLOOR_ENDS_WITH_INPUT": "1"}
    child = subprocess.Popen([sys.executable, "-c", waits], stdin=reads, env=environment)
    os.close(reads)
    time.sleep(1.5)
    assert child.poll() is None
    os.close(writes)
    assert child.wait(timeout=20) == 128 + signal.SIGKILL


@pytest.mark.medium
def test_without_the_variable_an_empty_input_ends_nothing() -> None:
    code = "from runner.processes.parentwatch import die_with_input; import time; die_with_input(); time.sleep(0.5)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, env=environment, check=True)
