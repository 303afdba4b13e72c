"""Starts the worker of a bench, waits for it as for a session's, and reads its result.

The steps run in a process of their own, which is started for the bench: CUDA_VISIBLE_DEVICES, torch's settings and a
cold compile cache are set before torch is imported there, a hanging kernel ends with the timeout, and this process
imports nothing of the worker.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from runner import errors, failures
from runner.bench.assignment import Assignment
from runner.bench.result import Bench
from runner.cell.jsonform import from_json
from runner.errors import BadValue
from runner.job import BENCH
from runner.launch import process
from runner.launch.local import WORKER_COMMAND, LocalWorker
from runner.launch.process import OnPhase
from runner.machine import hostlock

COMMAND = (*WORKER_COMMAND, BENCH)


def check_result(path: Path) -> None:
    """Creates the folder of the result. Raises BadValue if there is a file of this name, or none can be written."""
    if os.path.lexists(path):
        raise BadValue(f"{path} exists: name another file with --out")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise BadValue(f"{path} cannot be written ({failures.reason(error)}): name another file with --out") from error


def run(order: Assignment, path: Path, timeout_s: float, on_phase: OnPhase, on_wait: Callable[[str], None]) -> Bench:
    """Returns the result of a bench, written at `path`. It holds the host as a session does.

    Raises the error that the worker ended with; WorkerFailed if it crashed, WorkerTimeout if it took too long.
    """
    order = replace(order, result_path=os.path.realpath(path))
    worker = LocalWorker(order.jobs[0], COMMAND)
    with hostlock.hold(share=False, on_wait=on_wait):
        ended = process.run_to_end(order, (), timeout_s, on_phase, worker)
    if ended.stopped is not None or not path.exists():
        raise errors.of_reason(ended.cause.reason)(ended.cause.message)
    return from_json(Bench, json.loads(path.read_text(encoding="utf-8")))
