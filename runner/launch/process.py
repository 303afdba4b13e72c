"""Starts the worker in a fresh process, waits for it without waking up, and returns a record in every case.

While a window is timed, this process sleeps in one `select` on the worker's output and its end, with the deadline as
the timeout: it does not poll. The worker leads its own process group, which never outlives the call.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner import failures
from runner.cell.jsonform import to_json
from runner.cell.protocol import Protocol
from runner.errors import (
    DecodeFloorError,
    Failure,
    Infeasible,
    Interrupted,
    NoContainer,
    OutOfMemory,
    Stopped,
    Terminated,
    WorkerFailed,
    WorkerTimeout,
)
from runner.files import scratch
from runner.job import ERROR_MARK, PHASE_MARK, Job, failed_record
from runner.launch.local import Worker
from runner.processes import signals
from runner.processes.parentwatch import process_descriptor
from runner.record import record, spool, written
from runner.record.sections.head import Outcome
from runner.record.sessionrecord import FailedRecord, SessionRecord
from runner.redaction import privatepaths
from runner.redaction.privatepaths import Hidden
from runner.redaction.redact import redact

DEFAULT_TIMEOUT_S, STEP_TIMEOUT_S = 1800.0, 0.6
"""Seconds after which a worker is stopped, and those of each step of the wall pass if they are more."""
GRACE_S = 5.0
LAST_LINES = 40
LINE_LIMIT = 400  # characters kept of one line, so that a record stays small
READ_BYTES = 65536

OnPhase = Callable[[str, float], None]
"""Called with the name of the worker's current phase, and the seconds since the worker started."""


@dataclass(frozen=True)
class Cause:
    """The reason that a session was not measured: an error's short name, and its message."""

    reason: str
    message: str


@dataclass(frozen=True)
class Ended:
    """The end of a worker: the error that stopped it, if any, and why it has no result, if it has none.

    The exit code is the negative number of a signal, or None if it is not known.
    """

    stopped: Failure | None
    exit_code: int | None
    cause: Cause
    last_lines: tuple[str, ...]


@dataclass
class _Output:
    """The worker's output so far."""

    on_phase: OnPhase
    hidden: Hidden
    started: float = field(default_factory=time.monotonic)
    pending: bytes = b""
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    error: Cause | None = None

    def feed(self, data: bytes) -> None:
        *lines, self.pending = (self.pending + data).split(b"\n")
        for line in lines:
            self._line(line.decode("utf-8", "replace"))

    def end(self) -> None:
        """Reads an unfinished last line: the worker has ended."""
        if self.pending:
            self.feed(b"\n")

    def _line(self, line: str) -> None:
        if line.startswith(PHASE_MARK):
            self.on_phase(line.removeprefix(PHASE_MARK), time.monotonic() - self.started)
        elif line.startswith(ERROR_MARK) and (error := _parsed_error(line.removeprefix(ERROR_MARK))):
            self.error = error
        else:
            self.last_lines.append(_published(line, self.hidden)[:LINE_LIMIT])


def _published(text: str, hidden: Hidden) -> str:
    return redact(privatepaths.without(text, hidden))


def _hidden(job: Job) -> Hidden:
    """Returns the folders of the job's weights and record, with their markers."""
    folder = privatepaths.folder(str(Path(job.record_path).parent), privatepaths.SPOOL)
    weights = () if job.checkpoint is None else privatepaths.folder(job.checkpoint, privatepaths.WEIGHTS)
    return (*folder, *weights)


def _parsed_error(text: str) -> Cause | None:
    try:
        error = json.loads(text)
        return Cause(str(error["reason"]), str(error["message"]))
    except (ValueError, KeyError, TypeError):
        return None


def default_timeout_s(counts: Protocol) -> float:
    """Returns the seconds after which the worker of a session with this protocol is stopped."""
    return max(DEFAULT_TIMEOUT_S, STEP_TIMEOUT_S * counts.steps * counts.windows)


def run_worker(job: Job, timeout_s: float, on_phase: OnPhase, worker: Worker) -> SessionRecord:
    """Returns the record of this job: the worker's own, or a record of the failure, written at `job.record_path`.

    A record of status `interrupted` means that this process was told to stop. Raises DiskFull if no record can be
    written. Raises Interrupted or Terminated if the record was already complete.
    """
    ended = run_to_end(job, _hidden(job), timeout_s, on_phase, worker)
    record_of_worker = _written(job)
    if record_of_worker is not None:
        if isinstance(ended.stopped, Stopped):
            raise type(ended.stopped)(f"{ended.stopped}; {spool.kept(Path(job.record_path))}")
        return record_of_worker
    return write_failure(job, _outcome(ended.cause, ended.exit_code, ended.last_lines))


def run_to_end(order: Any, hidden: Hidden, timeout_s: float, on_phase: OnPhase, worker: Worker) -> Ended:
    """Runs a worker with its order, a dataclass that it reads from a JSON file, until it has ended.

    `hidden` are the folders that its texts must not name.
    """
    output = _Output(on_phase, hidden)
    with _order_file(order) as path:
        stopped, code = _run(worker, path, output, timeout_s)
    output.end()
    exit_code, fault = (code, None) if code is None else worker.outcome(code)
    cause = _cause(stopped, exit_code, fault, output)
    published = Cause(cause.reason, privatepaths.without(cause.message, hidden))
    return Ended(stopped, exit_code, published, tuple(output.last_lines))


@contextmanager
def _order_file(order: Any) -> Iterator[Path]:
    with scratch.folder() as folder:
        path = folder / "job.json"
        path.write_text(json.dumps(to_json(order)), encoding="utf-8")
        yield path


def _run(worker: Worker, job_file: Path, output: _Output, timeout_s: float) -> tuple[Failure | None, int | None]:
    """Runs the worker to its end, the deadline or a stopping signal. The process has ended when this returns.

    Returns the error that stopped it, if any, and the process's exit code, if it was started. Signals are held except
    while waiting: one between the fork and the assignment would leave an unknown process, one during the stop an
    orphan.
    """
    process: subprocess.Popen[bytes] | None = None
    stopped: Failure | None = None
    remaining: str | None = None
    try:
        with signals.held():
            try:
                process = _start(worker, job_file)
                with signals.wakeup() as wake, signals.let_through():
                    _follow(process, output, timeout_s, wake)
            finally:
                remaining = _stop(process, worker, output)
    except (DecodeFloorError, Stopped) as error:
        stopped = error
    if remaining is not None:
        stopped = NoContainer(remaining) if stopped is None else type(stopped)(f"{stopped}; {remaining}")
    return stopped, None if process is None else process.returncode


def _start(worker: Worker, job_file: Path) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            worker.command(job_file),
            stdin=subprocess.PIPE if worker.takes_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=worker.environment(),
            cwd=job_file.parent,  # files left in the working directory are removed with the job
            start_new_session=True,
        )
    except OSError as error:
        raise WorkerFailed(f"the worker cannot be started: {error}: {_start_remedy(error)}") from error


def _start_remedy(error: OSError) -> str:
    return failures.PROCESS_REMEDIES.get(error.errno or 0, "check that this program exists and may be executed")


def _follow(process: subprocess.Popen[bytes], output: _Output, timeout_s: float, wake: int) -> None:
    """Reads the worker's output until the worker ends. Raises WorkerTimeout.

    `wake` is a descriptor that becomes readable after a signal.
    """
    assert process.stdout is not None
    pipe, ended = process.stdout.fileno(), process_descriptor(process.pid)
    watched = [pipe] if ended is None else [pipe, ended]
    deadline = time.monotonic() + timeout_s
    try:
        # a process that the worker left behind may hold the pipe open, so the worker's own end counts
        while watched and ended not in (ready := _ready([wake, *watched], deadline, timeout_s)):
            if wake in ready:
                os.read(wake, READ_BYTES)
            if pipe in ready and not _read(pipe, output):
                watched.remove(pipe)
        if not _ends_within(process, deadline - time.monotonic()):
            raise WorkerTimeout(_too_late(timeout_s))
    finally:
        if ended is not None:
            os.close(ended)


def _ready(watched: list[int], deadline: float, timeout_s: float) -> list[int]:
    ready, _, _ = select.select(watched, [], [], max(0.0, deadline - time.monotonic()))
    if not ready:
        raise WorkerTimeout(_too_late(timeout_s))
    return ready


def _too_late(timeout_s: float) -> str:
    return f"the worker did not finish within {timeout_s:g} s and was stopped; --timeout allows more time"


def _read(pipe: int, output: _Output) -> bool:
    data = os.read(pipe, READ_BYTES)
    output.feed(data)
    return bool(data)


def _stop(process: subprocess.Popen[bytes] | None, worker: Worker, output: _Output) -> str | None:
    """Ends the whole process group: SIGTERM, then SIGKILL after a grace period. Reads its remaining output.

    Returns what may still be running, or None.
    """
    if process is None:
        return None
    is_early = not _ends_within(process, 0.0)
    if process.stdin is not None:
        process.stdin.close()  # this ends the worker even if the engine does not respond
    if is_early:
        _end(worker)
        _signal_group(process, signal.SIGTERM)
        _ends_within(process, GRACE_S)
    # includes processes that the worker left behind; the pid is not reused before `wait`
    _signal_group(process, signal.SIGKILL)
    _drain(process, output)
    process.wait()
    # a container that was about to start when the process ended, or that it left behind
    return _end(worker) if is_early or process.returncode != 0 else None


def _end(worker: Worker) -> str | None:
    try:
        worker.end()
    except NoContainer as error:
        return str(error)
    return None


def _ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Returns whether the group's leader has ended. It is not reaped, so that its pid is not reused before the group is
    gone."""
    deadline = time.monotonic() + seconds
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _drain(process: subprocess.Popen[bytes], output: _Output) -> None:
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    while select.select([pipe], [], [], 0.0)[0] and _read(pipe, output):
        pass
    process.stdout.close()


def _written(job: Job) -> SessionRecord | None:
    """Returns the worker's own record, or None.

    A record is written whole or not at all, so it counts even if the process crashed on exit.
    """
    path = Path(job.record_path)
    return written.read(path) if os.path.lexists(path) else None


def outcome(error: DecodeFloorError) -> Outcome:
    """Returns the outcome of a session without a worker."""
    return _outcome(Cause(error.reason, str(error)), None, ())


def _outcome(cause: Cause, code: int | None, last_output: Iterable[str]) -> Outcome:
    """Returns the outcome of a worker that ended with `code`: an exit code, the negative number of a signal, or
    None."""
    return Outcome(
        status=_status(cause.reason),
        reason=cause.reason,
        message=redact(cause.message),
        exit_code=code if code is not None and code >= 0 else None,
        signal=signals.name_of(-code) if code is not None and code < 0 else None,
        last_output=tuple(last_output),
    )


def _cause(stopped: Failure | None, code: int | None, fault: str | None, output: _Output) -> Cause:
    if stopped is not None:
        return Cause(stopped.reason, str(stopped))
    if output.error is not None:
        return output.error
    if fault is not None:
        return Cause(NoContainer.reason, f"{fault}{_last_line(output)}")
    return Cause(WorkerFailed.reason, _crash(code, output))


def _crash(code: int | None, output: _Output) -> str:
    if code is not None and code < 0:
        name = signals.name_of(-code)
        hint = (
            " (the kernel does that when memory runs out: choose a smaller model or ctx, or free memory)"
            if name == "SIGKILL"
            else ""
        )
        return f"the worker was killed by {name}{hint}"
    return f"the worker ended with exit code {code} and without a record{_last_line(output)}"


def _last_line(output: _Output) -> str:
    return f"; its last output: {output.last_lines[-1]}" if output.last_lines else ""


def _status(reason: str) -> str:
    statuses = {
        Infeasible.reason: "infeasible",
        OutOfMemory.reason: "oom",
        WorkerTimeout.reason: "timeout",
        Interrupted.reason: "interrupted",
        Terminated.reason: "interrupted",
    }
    return statuses.get(reason, "failed")


def write_failure(job: Job, outcome: Outcome) -> FailedRecord:
    """Writes the record of a session without a measurement durably at `job.record_path`, and returns it.

    Raises DiskFull.
    """
    failed = failed_record(job, outcome)
    with signals.held():
        record.write(failed, Path(job.record_path))
    return failed
