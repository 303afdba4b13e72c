"""One session: from a request to a record in the spool and, if there is one, in the store."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from runner import errors
from runner.cell.vocabulary import AUTO, CPU
from runner.checkpoints import checkpoint, readable
from runner.errors import DecodeFloorError, Failure, Infeasible, InvalidSession, Stopped
from runner.hostcondition import condition
from runner.job import Job, monotonic_s
from runner.launch import process
from runner.launch.container import place as places
from runner.launch.container.place import Place
from runner.launch.container.worker import ContainedWorker
from runner.launch.local import LocalWorker, Worker
from runner.machine import host, hostlock, nvml
from runner.plan import fit
from runner.plan.request import Request
from runner.plan.resolve import resolve
from runner.plan.sessionplan import Plan
from runner.record import expected, record, recordsize, sidecar, spool
from runner.record.flags import SHARED_CARD, SHARED_HOST
from runner.record.sessionrecord import MeasuredRecord, SessionRecord

SESSION_ID_LENGTH = 16

Commit = Callable[[SessionRecord, str | None, Path], str]
"""(record, id of the run that `mlflow run` made or None, the record's file) → id of the run in the store."""
Kind = TypeVar("Kind", DecodeFloorError, Stopped)


class OpenRun(Protocol):
    """The run that `mlflow run` made for this process."""

    @property
    def id(self) -> str: ...

    def mark_closed(self) -> None:
        """Notes that the run has its session and is closed."""
        ...


class Display(Protocol):
    """The display of sessions while they run."""

    def session(self, title: str, expected_s: float | None) -> AbstractContextManager[None]:
        """Shows a session for as long as the context lasts. `expected_s` is how long it may take, if that is known."""
        ...

    def position(self, text: str) -> None:
        """Shows with the following sessions which of how many the session is, such as `3/12`."""
        ...

    def note(self, text: str) -> None:
        """Shows a text that does not concern the session alone. A repeated one is shown once."""
        ...

    def wait(self, text: str) -> None:
        """Shows why a session waits. Later waits are not shown: a command of many sessions may have many."""
        ...

    def phase(self, name: str, elapsed_s: float) -> None:
        """Shows the current phase, and the seconds since the worker started."""
        ...


@dataclass(frozen=True)
class Settings:
    """The settings of sessions.

    `commit` None leaves records in the spool. `run` is the run that MLflow made. `timeout_s` None is the time that the
    protocol needs. `explain` makes the worker compare its step with the reference layer by layer.
    """

    spool: Path
    commit: Commit | None
    run: OpenRun | None
    share_host: bool
    timeout_s: float | None
    display: Display
    explain: bool = False


@dataclass(frozen=True)
class Finished:
    """A finished session: its record, the record's path, and its run or the store's error."""

    record: SessionRecord
    path: Path
    run: str | None = None
    store_error: DecodeFloorError | None = None

    @property
    def error(self) -> Failure | None:
        """Returns the error that the command ends with. A failed session takes precedence over an unreachable store."""
        return failure(self.record) or self.store_error


def run_session(request: Request, index: int, started_ms: int, settings: Settings) -> Finished:
    """Measures one session in a fresh process. `started_ms` is the command's start, in milliseconds since the epoch.

    A failed session is returned as a record, too. Errors without a record are raised: a request that cannot be
    resolved, DiskFull, and Interrupted or Terminated outside the measurement.
    """
    started_s = monotonic_s(started_ms)
    installed = () if request.gpu == CPU else nvml.list_gpus()
    plan = resolve(request, installed)
    if plan.host_condition is not None:
        condition.check(plan.host_condition)
    for text in _skipped_cards(request, installed):
        settings.display.note(f"warning: {text}; another card is measured (device= chooses one)")
    place = places.choose(request.where, request.stack, plan, settings.spool)
    if place.notice is not None:
        settings.display.note(place.notice)
    began = plan.job(uuid.uuid4().hex[:SESSION_ID_LENGTH], request.published(), index, started_ms, started_s)
    job = _placed(began, plan, place, settings)
    path = Path(job.record_path)
    sidecar.forget_runs(spool.clear_abandoned(path.parent))
    expected_s = expected.expected_s(path.parent, plan.cell, plan.protocol, plan.energy, plan.condition_text)
    with (
        spool.reserved(path, recordsize.most_bytes(plan.protocol)),
        settings.display.session(plan.title, expected_s),
    ):
        if settings.run is not None:
            sidecar.remember_run(path, settings.run.id)
        # a cell that can never fit does not wait for the host
        if refused := _refused(job, plan, plan.memory_bytes or host.memory_bytes()):
            return committed(refused, path, settings)
        with _host(job, settings) as ready:
            return committed(_measured(ready, plan, place, settings), path, settings)


def _skipped_cards(request: Request, installed: nvml.Gpus) -> Iterator[str]:
    """Yields why `auto` could not use a card: the selected card may not be the intended one."""
    if request.device == AUTO:
        yield from (card.obstacle for card in installed if card.obstacle is not None)


@contextmanager
def _host(job: Job, settings: Settings) -> Iterator[Job]:
    """Holds the host while loading, measuring and storing, since each would disturb another session's windows.

    Yields the job without the waiting time.
    """
    requested_s = time.monotonic()
    with hostlock.hold(settings.share_host, settings.display.wait):
        # the wait for other sessions is no cost of this one
        waited_s = time.monotonic() - requested_s
        session = replace(job.session, started_ms=job.session.started_ms + int(waited_s * 1000))
        yield replace(job, session=session, started_s=job.started_s + waited_s)


def failure(measured: SessionRecord) -> Failure | None:
    """Returns the error that a record describes, or None for a valid session."""
    if measured.valid:
        return None
    if isinstance(measured, MeasuredRecord):
        return InvalidSession("the session is not valid: " + "; ".join(measured.reasons))
    return errors.of_reason(measured.outcome.reason)(measured.outcome.message)


def _placed(began: Job, plan: Plan, place: Place, settings: Settings) -> Job:
    """Returns the job with the container and the record's path."""
    job = replace(
        began,
        given_flags=(*plan.flags, *place.flags, *([SHARED_HOST] if settings.share_host else [])),
        container=place.info,
        explain=settings.explain,
    )
    # unlike Path.resolve, realpath accepts links that point to themselves
    return replace(job, record_path=os.path.realpath(settings.spool / record.file_name(job.cell, job.session)))


def _refused(job: Job, plan: Plan, memory_bytes: int) -> SessionRecord | None:
    """Returns the record of a session that does not fit into `memory_bytes`, or None if it fits."""
    try:
        fit.check(plan.cell, plan.model.shape, plan.scheme, plan.protocol, plan.device.kind, memory_bytes)
    except Infeasible as error:
        return process.write_failure(job, process.outcome(error))
    return None


def _measured(job: Job, plan: Plan, place: Place, settings: Settings) -> SessionRecord:
    """Returns the record of the session, measured or failed."""
    if refused := _refused(job, plan, plan.memory_bytes or host.available_memory_bytes()):
        return refused
    # the real path, because a container does not have the links that lead there
    with readable.checked(f"weights={job.request['weights']}"):
        folder = None if plan.checkpoint is None else os.path.realpath(checkpoint.fetch(plan.checkpoint))
    ready = replace(job, checkpoint=folder, given_flags=(*job.given_flags, *_flags_before_start(job, place)))
    timeout_s = process.default_timeout_s(plan.protocol) if settings.timeout_s is None else settings.timeout_s
    return process.run_worker(ready, timeout_s, settings.display.phase, _worker(ready, place))


def _flags_before_start(job: Job, place: Place) -> tuple[str, ...]:
    """Returns the flags that only the host can set just before a container starts.

    NVML shows a worker in a container no process outside it.
    """
    is_shared = place.container is not None and nvml.snapshot(job.device.uuid).other_processes
    return (SHARED_CARD,) if is_shared else ()


def _worker(job: Job, place: Place) -> Worker:
    if (chosen := place.container) is None:
        return LocalWorker(job)
    return ContainedWorker(chosen.engine, chosen.image, chosen.user, job)


def committed(measured: SessionRecord, path: Path, settings: Settings) -> Finished:
    """Commits a record, if there is a store. The error of a store that does not take it is in the result."""
    if settings.commit is None:
        return Finished(measured, path)
    try:
        run = settings.commit(measured, settings.run.id if settings.run else None, path)
    except DecodeFloorError as error:
        return Finished(measured, path, store_error=_with_record_path(error, path))
    except Stopped as error:
        raise _with_record_path(error, path) from error
    if settings.run is not None:
        settings.run.mark_closed()
    return Finished(measured, path, run=run)


def _with_record_path(error: Kind, path: Path) -> Kind:
    """Returns the same error, with the record's path and how to import it."""
    text = str(error)
    if str(path.parent) not in text:
        text += f"; {spool.kept(path)}"
    return type(error)(text)
