"""Launching: whatever the worker does, there is a record, and no process is left behind.

The workers here are real processes running small scripts in the place of `runner.worker`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.cell.fieldtypes import ABSENT
from runner.cell.jsonform import from_json, to_json
from runner.errors import DecodeFloorError, DiskFull
from runner.job import ContainerInfo, Job
from runner.launch import process
from runner.launch.local import LocalWorker
from runner.record import record
from runner.record.sections.head import Outcome
from tests.runner.launch.container.fake import DIGEST
from tests.support.processes import ROOT, Run, worker


def outcome(found: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(found["outcome"][name] for name in ("status", "reason", "exit_code", "signal"))


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def wait_until_dead(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


WRITES_A_RECORD = """
    import json, sys
    from pathlib import Path
    from runner.record import record
    from runner.record.sections.head import Outcome
    from runner import job as jobs
    job = jobs.read(jobs.Job, Path(sys.argv[1]))
    print("@phase load", flush=True)
    print("@phase measure", flush=True)
    outcome = Outcome("failed", "mark", "7", exit_code=None, signal=None, last_output=())
    record.write(jobs.failed_record(job, outcome), Path(job.record_path))
"""


@pytest.mark.medium
def test_the_workers_record_comes_back_and_its_phases_are_shown(run: Run) -> None:
    phases = ["(start)"]
    found = run(WRITES_A_RECORD, phases=phases)
    assert found["outcome"]["reason"] == "mark"
    assert phases == ["(start)", "load", "measure"]


@pytest.mark.medium
def test_a_crash_after_the_record_does_not_lose_it(run: Run) -> None:
    assert run(WRITES_A_RECORD + "\n    import os; os.abort()\n")["outcome"]["reason"] == "mark"


def test_an_exit_code_is_kept_with_the_last_output(run: Run, tiny_job: Job) -> None:
    found = run("import sys; print('working'); print('boom', file=sys.stderr); sys.exit(3)")
    assert outcome(found) == ("failed", "worker-failed", 3, None)
    assert found["outcome"]["last_output"] == ["working", "boom"]
    message = "the worker ended with exit code 3 and without a record; its last output: boom"
    assert found["outcome"]["message"] == message
    assert record.read(Path(tiny_job.record_path)) == found
    assert (found["valid"], found["reasons"]) == (False, [found["outcome"]["message"]])


def test_an_exception_leaves_its_last_line_as_the_message(run: Run) -> None:
    found = run("raise RuntimeError('kernel image is missing')")
    assert found["outcome"]["message"].endswith("RuntimeError: kernel image is missing")


def test_a_success_without_a_record_is_a_failure(run: Run) -> None:
    assert outcome(run("pass")) == ("failed", "worker-failed", 0, None)


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGABRT"])
def test_death_by_signal_is_named(run: Run, name: str) -> None:
    found = run(f"import os, signal; os.kill(os.getpid(), signal.{name})")
    assert outcome(found) == ("failed", "worker-failed", None, name)
    assert f"killed by {name}" in found["outcome"]["message"]


def test_death_by_a_signal_without_a_name_is_told_by_its_number(run: Run) -> None:
    found = run("import os; os.kill(os.getpid(), 40)")  # a real-time one
    assert outcome(found) == ("failed", "worker-failed", None, "signal 40")
    assert found["outcome"]["message"] == "the worker was killed by signal 40"


def test_a_real_segmentation_fault_shows_where(run: Run) -> None:
    found = run("import ctypes; ctypes.string_at(0)")
    assert outcome(found)[3] == "SIGSEGV"
    assert any("Segmentation fault" in line for line in found["outcome"]["last_output"])


def test_an_error_that_the_worker_reports_is_taken_over(run: Run) -> None:
    error = {"reason": "mismatch", "exit_code": 26, "message": "another kernel ran"}
    found = run(f"import sys; print('@error ' + {json.dumps(json.dumps(error))}); sys.exit(26)")
    assert outcome(found) == ("failed", "mismatch", 26, None)
    assert found["outcome"]["message"] == "another kernel ran"


def test_out_of_memory_has_a_status_of_its_own(run: Run) -> None:
    error = {"reason": "oom", "exit_code": 18, "message": "out of memory: tried 2 GiB"}
    found = run(f"import sys; print('@error ' + {json.dumps(json.dumps(error))}); sys.exit(18)")
    assert outcome(found) == ("oom", "oom", 18, None)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("infeasible", "infeasible"),
        ("oom", "oom"),
        ("worker-timeout", "timeout"),
        ("interrupted", "interrupted"),
        ("terminated", "interrupted"),
        ("mismatch", "failed"),
    ],
)
def test_each_reason_has_its_status(reason: str, status: str) -> None:
    class Error(DecodeFloorError):
        pass

    Error.reason = reason
    assert to_json(process.outcome(Error("m on GPU-99887766-1234-1234-1234-123456789abc"))) == {
        "status": status,
        "reason": reason,
        "message": process.redact("m on GPU-99887766-1234-1234-1234-123456789abc"),
        "exit_code": None,
        "signal": None,
        "last_output": [],
    }


@pytest.mark.medium
def test_no_open_file_is_left_of_a_worker(run: Run) -> None:
    run("pass")
    before = len(os.listdir("/proc/self/fd"))
    run("pass")
    run("raise SystemExit(1)")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.medium
def test_phases_are_told_with_the_seconds_since_the_worker_was_started(tmp_path: Path, tiny_job: Job) -> None:
    told: list[tuple[str, float]] = []
    command = worker(tmp_path, "import time; time.sleep(0.3); print('@phase late', flush=True)")
    process.run_worker(tiny_job, 30.0, lambda *each: told.append(each), LocalWorker(tiny_job, command))
    ((text, seconds),) = told
    assert text == "late"
    assert 0.3 <= seconds < 20


@pytest.mark.medium
def test_a_worker_that_ends_on_sigterm_is_given_the_time_for_it(run: Run) -> None:
    script = """
        import signal, time
        def end(*_):
            time.sleep(0.3)
            print("tidied", flush=True)
            raise SystemExit(7)
        signal.signal(signal.SIGTERM, end)
        print("ready", flush=True)
        time.sleep(600)
    """
    found = run(script, timeout_s=1.5)
    assert outcome(found) == ("timeout", "worker-timeout", 7, None)
    assert found["outcome"]["last_output"] == ["ready", "tidied"]


@pytest.mark.medium
def test_a_killed_worker_is_said_to_have_run_out_of_memory_perhaps(run: Run) -> None:
    messages = [
        run(f"import os, signal; os.kill(os.getpid(), signal.{name})")["outcome"]["message"]
        for name in ("SIGKILL", "SIGTERM")
    ]
    assert messages == [
        "the worker was killed by SIGKILL (the kernel does that when memory runs out: "
        "choose a smaller model or ctx, or free memory)",
        "the worker was killed by SIGTERM",
    ]


def test_folders_of_the_job_are_not_in_what_it_says(tmp_path: Path, tiny_job: Job) -> None:
    weights = tmp_path / "secret-weights"
    job = replace(tiny_job, checkpoint=str(weights))
    error = {"reason": "mismatch", "exit_code": 26, "message": f"in {weights}"}
    command = worker(tmp_path, f"print('@error ' + {json.dumps(json.dumps(error))}); print('in {weights}')")
    found = to_json(process.run_worker(job, 30.0, lambda *_: None, LocalWorker(job, command)))
    assert "secret-weights" not in json.dumps(found["outcome"])
    assert found["outcome"]["message"].startswith("in ")


@pytest.mark.parametrize("line", ["@error {", "@error {}", "@error 3"])
def test_a_damaged_error_line_is_ordinary_output(run: Run, line: str) -> None:
    found = run(f"print({line!r})")
    assert found["outcome"]["last_output"] == [line]


@pytest.mark.medium
def test_only_the_last_lines_are_kept_and_long_ones_cut(run: Run) -> None:
    found = run("for n in range(1000): print(n)\nprint('x' * 100_000)")
    kept = found["outcome"]["last_output"]
    assert (len(kept), kept[0], len(kept[-1])) == (process.LAST_LINES, "961", process.LINE_LIMIT)


def test_a_word_without_a_line_end_is_kept(run: Run) -> None:
    found = run("import os; os.write(1, b'half a li'); os._exit(1)")
    assert found["outcome"]["last_output"] == ["half a li"]


def test_what_names_a_card_is_redacted(run: Run) -> None:
    found = run("print('on GPU-99887766-1234-1234-1234-123456789abc'); raise SystemExit(1)")
    assert "99887766" not in json.dumps(found)


@pytest.mark.medium
def test_a_worker_that_hangs_is_stopped_at_the_deadline(run: Run) -> None:
    started = time.monotonic()
    found = run("import time; print('alive', flush=True); time.sleep(600)", timeout_s=1.0)
    assert time.monotonic() - started < 5
    assert outcome(found) == ("timeout", "worker-timeout", None, "SIGTERM")
    assert found["outcome"]["last_output"] == ["alive"]


@pytest.mark.medium
def test_a_worker_that_ignores_sigterm_is_killed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE_S", 0.3)
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    assert outcome(run(script, timeout_s=1.0)) == ("timeout", "worker-timeout", None, "SIGKILL")


@pytest.mark.medium
def test_a_worker_that_hangs_after_closing_its_output_is_stopped_too(run: Run) -> None:
    found = run("import os, time; os.close(1); os.close(2); time.sleep(600)", timeout_s=1.0)
    assert outcome(found)[0] == "timeout"


@pytest.mark.medium
def test_what_the_worker_leaves_behind_is_killed_and_not_waited_for(run: Run) -> None:
    started = time.monotonic()
    found = run(
        """
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(child.pid, flush=True)
        sys.exit(4)
        """
    )
    assert time.monotonic() - started < 5
    assert outcome(found) == ("failed", "worker-failed", 4, None)
    assert wait_until_dead(int(found["outcome"]["last_output"][0]))


@pytest.mark.medium
def test_without_pidfds_it_works_all_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "process_descriptor", lambda _pid: None)
    assert outcome(run("raise SystemExit(3)")) == ("failed", "worker-failed", 3, None)
    assert outcome(run("import time; time.sleep(600)", timeout_s=0.5))[0] == "timeout"


def test_a_command_that_does_not_exist(tiny_job: Job) -> None:
    found = to_json(process.run_worker(tiny_job, 5.0, lambda *_: None, LocalWorker(tiny_job, ["/nonexistent/python"])))
    assert outcome(found) == ("failed", "worker-failed", None, None)
    assert "cannot be started" in found["outcome"]["message"]


def test_a_full_disk_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise DiskFull("no space left")

    monkeypatch.setattr(record, "write", no_space)
    with pytest.raises(DiskFull):
        run("raise SystemExit(1)")


@pytest.mark.medium
def test_the_parent_sleeps_while_the_worker_works(run: Run) -> None:
    before = os.times()
    switches = _voluntary_switches()
    run("import time; print('@phase measure', flush=True); time.sleep(2)", timeout_s=60)
    after = os.times()
    # starting a process takes some 10 ms of CPU; a poll every 10 ms would switch 200 times
    assert after.user + after.system - before.user - before.system < 0.5
    assert _voluntary_switches() - switches < 60


def _voluntary_switches() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


PARENT = """
    import json, sys
    from pathlib import Path
    from runner.cell.jsonform import to_json
    from runner.launch import process as launch
    from runner.launch.local import LocalWorker
    from runner.processes import signals
    from runner.errors import Stopped
    from runner import job as jobs
    signals.install()
    print("ready", flush=True)
    try:
        job = jobs.read(jobs.Job, Path(sys.argv[1]))
        found = launch.run_worker(job, 60.0, lambda *_: None, LocalWorker(job, sys.argv[2:]))
        print(json.dumps(to_json(found.outcome)), flush=True)
    except Stopped as error:
        print(json.dumps({"status": "raised", "reason": error.reason}), flush=True)
"""
SLEEPER = """
    import os, sys, time
    from pathlib import Path
    (Path(__file__).parent / "pid").write_text(str(os.getpid()))
    time.sleep(600)
"""


def start_parent(tmp_path: Path, job: Job, script: str = SLEEPER, *before: str) -> subprocess.Popen[str]:
    parent, job_file = tmp_path / "parent.py", tmp_path / "job.json"
    parent.write_text(textwrap.dedent(PARENT))
    job_file.write_text(json.dumps(to_json(job)))
    command = [*before, sys.executable, str(parent), str(job_file), *worker(tmp_path, script)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def worker_pid(tmp_path: Path) -> int:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        file = tmp_path / "pid"
        if file.exists() and (text := file.read_text()):
            return int(text)
        time.sleep(0.01)
    raise AssertionError("the worker did not start")


@pytest.mark.medium
@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated"), (signal.SIGHUP, "terminated")],
)
def test_a_signal_to_the_parent_stops_the_worker_and_leaves_a_record(
    tmp_path: Path, tiny_job: Job, number: signal.Signals, reason: str
) -> None:
    parent = start_parent(tmp_path, tiny_job)
    pid = worker_pid(tmp_path)
    parent.send_signal(number)
    said, _ = parent.communicate(timeout=120)
    assert wait_until_dead(pid, 1)
    kept = json.loads(said.splitlines()[-1])
    assert (kept["status"], kept["reason"]) == ("interrupted", reason)
    assert record.read(Path(tiny_job.record_path))["outcome"] == kept


@pytest.mark.medium
def test_under_nohup_the_end_of_the_terminal_stops_neither_parent_nor_worker(tmp_path: Path, tiny_job: Job) -> None:
    parent = start_parent(tmp_path, tiny_job, SLEEPER, "nohup")
    pid = worker_pid(tmp_path)
    parent.send_signal(signal.SIGHUP)
    os.kill(pid, signal.SIGHUP)
    time.sleep(0.3)
    assert parent.poll() is None
    assert not wait_until_dead(pid, 0)
    parent.send_signal(signal.SIGTERM)
    said, _ = parent.communicate(timeout=120)
    assert wait_until_dead(pid, 1)
    assert json.loads(said.splitlines()[-1])["reason"] == "terminated"


@pytest.mark.medium
def test_two_signals_at_once_leave_no_orphan_either(tmp_path: Path, tiny_job: Job) -> None:
    parent = start_parent(tmp_path, tiny_job)
    pid = worker_pid(tmp_path)
    parent.send_signal(signal.SIGINT)
    parent.send_signal(signal.SIGTERM)
    said, _ = parent.communicate(timeout=120)
    assert wait_until_dead(pid, 1)
    assert json.loads(said.splitlines()[-1])["reason"] in ("interrupted", "terminated")


@pytest.mark.medium
@pytest.mark.parametrize("seed", range(12))
def test_a_signal_at_any_moment_leaves_no_orphan(tmp_path: Path, tiny_job: Job, seed: int) -> None:
    parent = start_parent(tmp_path, tiny_job)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    time.sleep(random.Random(seed).uniform(0, 0.15))
    parent.send_signal(signal.SIGTERM)
    said, _ = parent.communicate(timeout=120)
    children = [pid for pid in _pids() if str(tmp_path / "worker.py") in _command(pid)]
    assert children == []
    # before the job is under way there is nothing to record; from then on there is a record
    assert json.loads(said.splitlines()[-1])["status"] in ("interrupted", "raised")


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def test_the_job_carries_the_container_into_the_record(tiny_job: Job) -> None:
    info = ContainerInfo("podman", "decode-floor:cpu", DIGEST, "0123456789ab")
    job = replace(tiny_job, container=info)
    assert from_json(Job, to_json(job)) == job
    Path(job.record_path).parent.mkdir()
    outcome = Outcome("failed", "worker-failed", "m", exit_code=None, signal=None, last_output=())
    failed = process.write_failure(job, outcome)
    assert record.read(Path(job.record_path)) == to_json(failed)
    assert failed.container == info
    assert process.write_failure(tiny_job, outcome).container is ABSENT
