"""Servers that a command runs: each has a log, counts as started when it answers, and ends with the command."""

from __future__ import annotations

import ctypes
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from runner.errors import StoreUnreachable
from runner.processes import signals
from runner.processes.parentwatch import PR_SET_PDEATHSIG, process_descriptor

START_S = 120.0
STOP_S = 30.0
POLL_S = 0.1
ASK_S = 1.0
_FAULT = re.compile(r"(?:FATAL|ERROR|\w*Error)\b.*")


@dataclass(frozen=True)
class Service:
    """A server to be run. `stop` is the signal that ends it cleanly, `account` the user that it runs as, None for the
    user of this process."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    stop: signal.Signals
    account: str | None = None


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    service: Service
    process: subprocess.Popen[bytes]


@contextmanager
def running(service: Service, answers: Callable[[], bool]) -> Iterator[Running]:
    """Runs the server for the duration of the context, which begins when `answers` says so.

    The caller holds the signals (`signals.held`). They are let through only while this waits for the start, so none
    can arrive between a start and the stop that belongs to it. Raises StoreUnreachable if the server does not start.
    """
    started = Running(service, _started(service))
    try:
        with signals.let_through():
            _await_answer(started, answers)
        yield started
    finally:
        _stop(started)


def await_end(servers: Sequence[Running]) -> NoReturn:
    """Waits until a server ends by itself. Raises StoreUnreachable then, or the error of a signal before."""
    ended = [descriptor for each in servers if (descriptor := process_descriptor(each.process.pid)) is not None]
    try:
        with signals.wakeup() as wake:
            while not any(_has_ended(each.process) for each in servers):
                # a kernel without descriptors of processes is asked again and again
                select.select([wake, *ended], [], [], None if len(ended) == len(servers) else ASK_S)
    finally:
        for descriptor in ended:
            os.close(descriptor)
    service = next(each.service for each in servers if _has_ended(each.process))
    raise StoreUnreachable(f"{service.name} has ended by itself ({_fault(service.log)}): {service.log} has more")


def _started(service: Service) -> subprocess.Popen[bytes]:
    kernel = ctypes.CDLL(None)  # loaded before the fork

    def end_with_parent() -> None:
        kernel.prctl(PR_SET_PDEATHSIG, service.stop, 0, 0, 0)

    try:
        with open(service.log, "ab") as log:
            return subprocess.Popen(
                service.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=service.environment,
                cwd=service.folder,
                user=service.account,
                start_new_session=True,  # a terminal's Ctrl-C would stop all servers at once
                preexec_fn=end_with_parent,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise StoreUnreachable(f"{service.name} cannot be started ({error}): correct that, then try again") from error


def _await_answer(started: Running, answers: Callable[[], bool]) -> None:
    service, deadline = started.service, time.monotonic() + START_S
    while not answers():
        if _has_ended(started.process):
            raise StoreUnreachable(f"{service.name} does not start ({_fault(service.log)}): {service.log} has more")
        if time.monotonic() > deadline:
            raise StoreUnreachable(f"{service.name} does not answer within {START_S:.0f} s: see {service.log}")
        time.sleep(POLL_S)


def _fault(log: Path) -> str:
    """Returns the last error of a log, or its last line."""
    lines = log.read_text(errors="replace").splitlines()
    faults = [match[0] for line in lines if (match := _FAULT.search(line))]
    return (faults or lines or ["no output"])[-1]


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Returns whether the process has ended. It is not reaped, so that its pid still names its group."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _stop(server: Running) -> None:
    """Stops the server, and kills what is left of its group after that or after STOP_S."""
    process = server.process
    os.kill(process.pid, server.service.stop)  # `send_signal` would reap a process that has ended
    deadline = time.monotonic() + STOP_S
    while not _has_ended(process) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
