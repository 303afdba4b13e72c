"""The command line that starts a worker in a container, and how it is ended whatever happens."""

from __future__ import annotations

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

from runner import launch
from runner.containers.engine import Engine, Image
from runner.containers.worker import ContainedWorker, folders_of
from runner.errors import BadValue
from runner.machine import hostlock
from runner.records import record
from runner.store.view import view
from runner.worker.job import ContainerInfo, Device, Job
from tests.processes import ROOT
from tests.records import example_record
from tests.runner.containers.fake import FakeEngine, transcript

DIGEST = "sha256:" + "0123456789abcdef" * 4
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
        return ContainedWorker(Engine(name, str(fake.program)), image, replace(tiny_job, **fields)), fake

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
    assert options(command, "--user") == [f"{os.getuid()}:{os.getgid()}"]
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
    assert folders_of(snapshot) == (snapshot, blobs)
    worker, _ = contained(checkpoint=str(snapshot))
    mounts = options(worker.command(tmp_path / "job" / "job.json"), "--mount")
    assert {f"type=bind,source={path},target={path},readonly" for path in (snapshot, blobs)} <= set(mounts)


def test_a_path_that_an_option_cannot_hold_is_refused(
    contained: Callable[..., tuple[ContainedWorker, FakeEngine]], tmp_path: Path
) -> None:
    worker, _ = contained(record_path=str(tmp_path / "a,b" / "record.json"))
    with pytest.raises(BadValue, match="a,b cannot be mounted into a container"):
        worker.command(tmp_path / "job.json")


def run(worker: ContainedWorker, timeout_s: float = 60.0) -> dict[str, Any]:
    return launch.run_worker(worker.job, timeout_s, lambda *_: None, worker)


def test_what_the_engine_cannot_start_is_told_in_its_own_words(
    contained: Callable[..., tuple[ContainedWorker, FakeEngine]],
) -> None:
    worker, _ = contained({"run": {"err": transcript("podman-run-refused.txt"), "code": 126}})
    found = run(worker)
    assert found["outcome"]["reason"] == "no-container"
    assert found["outcome"]["message"].startswith("podman could not start the container of decode-floor:cpu; its last")
    assert "error setting rlimit type 7" in found["outcome"]["message"]


def test_a_worker_killed_in_its_container_is_told_as_one(
    contained: Callable[..., tuple[ContainedWorker, FakeEngine]],
) -> None:
    worker, fake = contained({"run": {"code": 137}})
    found = run(worker)
    assert (found["outcome"]["signal"], found["outcome"]["reason"]) == ("SIGKILL", "worker-failed")
    assert "the kernel does that when memory runs out" in found["outcome"]["message"]
    assert [call[0] for call in fake.told()] == ["run"]  # it ended by itself: there is nothing to remove


def test_one_that_takes_too_long_is_removed_by_name(
    contained: Callable[..., tuple[ContainedWorker, FakeEngine]],
) -> None:
    worker, fake = contained({"run": {"worker": SLEEPS}})
    found = run(worker, timeout_s=2.0)
    assert found["outcome"]["status"] == "timeout"
    assert ["rm", "--force", f"decode-floor-{worker.job.session.id}"] in fake.told()


def test_it_ends_when_the_process_that_started_it_is_killed() -> None:
    """SIGKILL leaves nobody to remove the container: the worker sees the end of its input."""
    waits = "from runner.machine.parentwatch import die_with_input; import time; die_with_input(); time.sleep(60)"
    reads, writes = os.pipe()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DECODE_FLOOR_ENDS_WITH_INPUT": "1"}
    process = subprocess.Popen([sys.executable, "-c", waits], stdin=reads, env=environment)
    os.close(reads)
    time.sleep(1.5)
    assert process.poll() is None
    os.close(writes)
    assert process.wait(timeout=20) == 128 + signal.SIGKILL


def test_without_the_variable_an_empty_input_ends_nothing() -> None:
    code = "from runner.machine.parentwatch import die_with_input; import time; die_with_input(); time.sleep(0.5)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, env=environment, check=True)


def test_image_and_digest_are_tags_of_the_run_and_the_record_follows_its_schema() -> None:
    found = example_record()
    assert {"image", "digest"}.isdisjoint(view(found).tags)
    found["container"] = {"engine": "podman", "image": "decode-floor:cpu", "digest": DIGEST, "tree_key": "0123456789ab"}
    shown = view(found)
    assert (shown.tags["image"], shown.tags["digest"]) == ("decode-floor:cpu", DIGEST)
    assert shown.params["container.engine"] == "podman"


def test_the_job_carries_the_container_into_the_record(tiny_job: Job) -> None:
    info = ContainerInfo("podman", "decode-floor:cpu", DIGEST, "0123456789ab")
    job = replace(tiny_job, container=info)
    assert Job.from_json(job.to_json()) == job
    Path(job.record_path).parent.mkdir()
    failed = launch.failure_record(job, {"status": "failed", "reason": "worker-failed", "message": "m"})
    assert record.read(Path(job.record_path)) == failed
    assert failed["container"] == job.to_json()["container"]
    assert "container" not in launch.failure_record(tiny_job, failed["outcome"])
