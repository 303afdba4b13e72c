"""One session: from a request to a record that lies in the spool and, where there is one, in the store."""

from __future__ import annotations

import errno
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runner import checkpoint, errors, fit, host, hostlock, launch, nvml, record, store
from runner.errors import (
    BadValue,
    DecodeFloorError,
    DiskFull,
    Infeasible,
    InvalidSession,
    WorkerFailed,
)
from runner.request import Request
from runner.resolve import CPU, Plan, resolve
from runner.worker.job import Job, SessionInfo, record_head

SESSION_ID_LENGTH = 16
SPOOL_MINIMUM_BYTES = 1 << 20  # a record takes at most 32 KiB; less than this is a disk about to be full
SHARED_HOST = "shared-host"

Commit = Callable[[dict[str, Any], str | None, Path], str]
"""(record, the run `mlflow run` made or None, the record's file) → the id of the run in the store."""
OnProgress = Callable[[str, float], None]
"""Told what happens now and the seconds since the session began."""


@dataclass(frozen=True)
class Settings:
    """How sessions are run. `commit` None leaves records in the spool; `run_id` is the run MLflow made."""

    spool: Path
    commit: Commit | None
    run_id: str | None
    share_host: bool
    timeout_s: float
    on_progress: OnProgress


@dataclass(frozen=True)
class Finished:
    """A session's end: its record, where it lies, the run it became, or why the store did not take it."""

    record: dict[str, Any]
    path: Path
    run: str | None = None
    store_error: DecodeFloorError | None = None

    @property
    def error(self) -> DecodeFloorError | None:
        """What the command must fail with; a failed session goes before a store that was away."""
        return failure(self.record) or self.store_error


def run_session(request: Request, index: int, started_ms: int, settings: Settings) -> Finished:
    """Measure once in a fresh process; `started_ms` is when the command began, milliseconds since the epoch.

    A session that fails comes back as a record too; what is raised is what leaves none: a request that cannot
    be resolved, DiskFull, and Interrupted or Terminated outside of the measurement.
    """
    plan = resolve(request, () if request.gpu == CPU else nvml.list_gpus())
    _prepare_spool(settings.spool)
    job = _job(request, plan, index, started_ms, settings)
    if settings.run_id is not None:
        store.open_run(settings.run_id)
        store.remember_run(Path(job.record_path), settings.run_id)
    return _committed(_measured(job, plan, settings), Path(job.record_path), settings)


def failure(found: dict[str, Any]) -> DecodeFloorError | None:
    """The error that a record tells of, None for a valid session."""
    if found["valid"]:
        return None
    if record.is_measured(found):
        return InvalidSession("the session is not valid: " + "; ".join(found["reasons"]))
    outcome = found["outcome"]
    kinds = {kind.reason: kind for kind in errors.family()}
    return kinds.get(outcome.get("reason", ""), WorkerFailed)(outcome["message"])


def _prepare_spool(spool: Path) -> None:
    """Raises DiskFull or BadValue now rather than after the measurement."""
    try:
        spool.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(spool).free
        probe = spool / f".{uuid.uuid4().hex}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space left in the spool {spool}: free some or choose another with --spool") from error
        raise BadValue(f"the spool {spool} cannot be written ({error.strerror}): choose with --spool") from error
    if free < SPOOL_MINIMUM_BYTES:
        raise DiskFull(f"only {free} bytes free in the spool {spool}: free some or choose another with --spool")


def _job(request: Request, plan: Plan, index: int, started_ms: int, settings: Settings) -> Job:
    job = Job(
        session=SessionInfo(uuid.uuid4().hex[:SESSION_ID_LENGTH], plan.study, index, plan.seed, started_ms),
        request=request.published(),
        cell=plan.cell,
        protocol=plan.protocol,
        model_name=plan.model.key,
        shape=plan.model.shape,
        checkpoint=None,
        device=plan.device,
        given_flags=(*plan.flags, *([SHARED_HOST] if settings.share_host else [])),
        record_path="",
    )
    return replace(job, record_path=str((settings.spool / record.file_name(record_head(job))).resolve()))


def _measured(job: Job, plan: Plan, settings: Settings) -> dict[str, Any]:
    """The record of the session, whatever became of it."""
    try:
        available = plan.memory_bytes or host.available_memory_bytes()
        fit.check(plan.cell, plan.model.shape, plan.protocol, plan.device.kind, available)
    except Infeasible as error:
        return launch.failure_record(job, launch.outcome(error))
    folder = None if plan.checkpoint is None else str(checkpoint.fetch(plan.checkpoint))
    asked = time.monotonic()
    with hostlock.hold(settings.share_host, lambda text: settings.on_progress(text, 0.0)):
        # waiting for others is no cost of this session
        waited_ms = int((time.monotonic() - asked) * 1000)
        session = replace(job.session, started_ms=job.session.started_ms + waited_ms)
        ready = replace(job, session=session, checkpoint=folder)
        return launch.run_worker(ready, settings.timeout_s, settings.on_progress)


def _committed(found: dict[str, Any], path: Path, settings: Settings) -> Finished:
    if settings.commit is None:
        return Finished(found, path)
    try:
        return Finished(found, path, run=settings.commit(found, settings.run_id, path))
    except DecodeFloorError as error:
        return Finished(found, path, store_error=_kept(error, path))


def _kept(error: DecodeFloorError, path: Path) -> DecodeFloorError:
    """The same error, saying where the record is and what to do with it."""
    text = str(error)
    if str(path.parent) not in text:
        text += f"; the record is kept at {path}; import it with: python -m runner import {path.parent}"
    return type(error)(text)
