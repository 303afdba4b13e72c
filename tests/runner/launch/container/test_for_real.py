"""Sessions through the command, a real engine and a container of the cpu image: `make test-images`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.cell.jsonform import to_json
from runner.errors import NoContainer
from runner.job import Job
from runner.launch import process
from runner.launch.container import engine, place
from runner.launch.container.engine import Engine, Image
from runner.launch.container.user import User
from runner.launch.container.worker import ContainedWorker
from runner.machine import host, hostlock
from runner.plan.request import Request
from runner.plan.resolve import resolve
from runner.record import codekey, record
from tests.support.processes import ROOT

pytestmark = pytest.mark.images
TINY = ("--gpu", "cpu", "--model", "tiny", "--ctx", "64", "--where", "container", "--spool", "spool")
GONE_WITHIN_S = 20
Real = tuple[Engine, Image, User]


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Real:
    """An engine of this machine that has the cpu image."""
    monkeypatch.delenv("DECODE_FLOOR_ENGINE")
    plan = resolve(Request(gpu="cpu", model="tiny", ctx="64"), ())
    try:
        chosen = place.choose("container", "auto", plan, Path("spool-that-is-not-there"))
    except NoContainer as error:
        pytest.skip(f"hardware: {error}")
    assert chosen.container is not None
    assert chosen.flags == (), chosen.notice  # of this very code: make image-cpu
    return chosen.container.engine, chosen.container.image, chosen.container.user


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    def make(*more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "runner", "cell", *TINY, *more],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return make


def records_in(folder: Path) -> list[dict[str, Any]]:
    return [record.read(path) for path in sorted((folder / "spool").glob("*.json"))]


def containers(found: Engine) -> list[str]:
    """Names of ours, running or not."""
    arguments = [found.program, "ps", "--all", "--format", "{{.Names}}", "--filter", "name=decode-floor-"]
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.split()


def is_gone(found: Engine) -> bool:
    deadline = time.monotonic() + GONE_WITHIN_S
    while containers(found):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def await_phase(child: subprocess.Popen[str], phase: str) -> None:
    assert child.stderr is not None
    for line in child.stderr:
        if phase in line:
            return
    raise AssertionError(f"it ended before {phase!r}")


def test_a_cell_is_measured_in_the_container_and_its_record_holds(
    real: Real, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    child = start()
    _, err = child.communicate(timeout=300)
    assert child.returncode == 0, err
    (found,) = records_in(tmp_path)
    assert found["valid"]
    assert found["container"] == {
        "engine": real[0].name,
        "image": "decode-floor:cpu",
        "digest": real[1].digest,
        "tree_key": codekey.tree_key(),
    }
    assert found["keys"]["tree_key"] == codekey.tree_key()
    verified = [sys.executable, "-m", "runner", "verify", "spool"]
    done = subprocess.run(verified, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 0
    (path,) = (tmp_path / "spool").glob("*.json")
    assert path.stat().st_uid == os.getuid()
    assert is_gone(real[0])


def test_two_sessions_in_containers_never_overlap(
    real: Real, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    both = [start(), start()]
    for child in both:
        _, err = child.communicate(timeout=600)
        assert child.returncode == 0, err
    first, second = sorted((found["session"] for found in records_in(tmp_path)), key=lambda one: one["started_ms"])
    assert first["finished_ms"] <= second["started_ms"]
    assert is_gone(real[0])


def job_in(tmp_path: Path, job: Job) -> Path:
    Path(job.record_path).parent.mkdir(exist_ok=True)
    (tmp_path / "job").mkdir(exist_ok=True)
    path = tmp_path / "job" / "job.json"
    path.write_text(json.dumps(to_json(job)))
    return path


def python_in(worker: ContainedWorker, job_file: Path, code: str) -> list[str]:
    """The worker's own command line, with other code in the worker's place."""
    *options, digest, _ = worker.command(job_file)
    return [*options, "--entrypoint", "python", digest, "-c", code]


LOOKS = """
import json, os, socket
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
def writes(folder):
    try:
        open(os.path.join(folder, "probe"), "w").close()
        os.remove(os.path.join(folder, "probe"))
        return True
    except OSError:
        return False
print(json.dumps({
    "uid": os.getuid(), "capabilities": int(status["CapEff"], 16), "no_new_privileges": status["NoNewPrivs"].strip(),
    "interfaces": [name for _, name in socket.if_nameindex()], "environment": sorted(os.environ),
    "writes": {folder: writes(folder) for folder in FOLDERS},
}))
"""


def test_the_container_is_closed(real: Real, tiny_job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret-token")
    worker = ContainedWorker(*real, tiny_job)
    job_file = job_in(tmp_path, tiny_job)
    folders = ["/", "/opt/decode-floor", "/etc", "/tmp", str(job_file.parent), str(Path(tiny_job.record_path).parent)]
    command = python_in(worker, job_file, LOOKS.replace("FOLDERS", repr(folders)))
    done = subprocess.run(command, env=worker.environment(), capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert (found["uid"], found["capabilities"], found["no_new_privileges"]) == (os.getuid(), 0, "1")
    assert found["interfaces"] == ["lo"]
    assert "HF_TOKEN" not in found["environment"]
    assert list(found["writes"].values()) == [False, False, False, True, True, True]


def test_two_containers_exclude_each_other_by_the_hosts_lock(real: Real, tiny_job: Job, tmp_path: Path) -> None:
    hostlock.folder().mkdir(exist_ok=True)
    holds = (
        "import time; from runner.machine import hostlock\n"
        "with hostlock.hold(False, lambda _: None):\n    began = time.time(); time.sleep(2); print(began, time.time())"
    )
    job_file = job_in(tmp_path, tiny_job)
    commands = []
    for number in ("a", "b"):
        worker = ContainedWorker(*real, tiny_job)
        command = python_in(worker, job_file, holds)
        command[command.index("--name") + 1] += number
        commands.append(command)
    started = [
        subprocess.Popen(command, env=worker.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for command in commands
    ]
    periods = sorted(tuple(map(float, child.communicate(timeout=60)[0].split())) for child in started)
    assert periods[0][1] <= periods[1][0]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_told_to_stop_it_leaves_a_record_and_no_container(
    number: int,
    code: int,
    real: Real,
    start: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    child = start()
    await_phase(child, "probe")
    assert containers(real[0])
    child.send_signal(number)
    child.communicate(timeout=60)
    assert child.returncode == code
    assert is_gone(real[0])
    (found,) = records_in(tmp_path)
    assert found["outcome"]["status"] == "interrupted"


def test_killed_it_leaves_no_container(real: Real, start: Callable[..., subprocess.Popen[str]]) -> None:
    child = start()
    await_phase(child, "probe")
    assert containers(real[0])
    child.kill()
    child.communicate(timeout=60)
    assert is_gone(real[0])


def test_one_that_takes_too_long_is_stopped(
    real: Real, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    child = start("--timeout", "6")
    child.communicate(timeout=120)
    assert child.returncode == 20
    assert is_gone(real[0])
    (found,) = records_in(tmp_path)
    assert found["outcome"]["status"] == "timeout"


def test_a_worker_beyond_its_memory_is_killed_and_told_so(
    real: Real, tiny_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "available_memory_bytes", lambda: 300 * 2**20)  # less than torch takes
    Path(tiny_job.record_path).parent.mkdir(exist_ok=True)
    found = to_json(process.run_worker(tiny_job, 120.0, lambda *_: None, ContainedWorker(*real, tiny_job)))
    assert found["outcome"]["signal"] == "SIGKILL"
    assert "when memory runs out" in found["outcome"]["message"]


def test_the_engine_says_of_an_image_it_has_not_what_is_expected_of_it(real: Real) -> None:
    assert real[0].image("decode-floor:no-such-stack") is None
    real[0].remove("decode-floor-no-such-container")


def test_a_client_without_its_engine_does_not_answer() -> None:
    program = shutil.which("docker")
    if program is None:
        pytest.skip("hardware: there is no Docker client here")
    away = engine.Engine("docker", program)
    if subprocess.run([program, "version"], capture_output=True, check=False).returncode == 0:
        pytest.skip("hardware: Docker runs here")
    with pytest.raises(NoContainer, match="docker is installed but does not answer"):
        away.image("decode-floor:cpu")
