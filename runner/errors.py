"""The family of errors. Each is one line for the person at the terminal and has an exit code of its own.

`docs/exit-codes.md` lists them. A test compares the list with this module.
"""

from __future__ import annotations

from typing import Union

from runner.redaction import credentials


class _OneLine(BaseException):
    """Base of the family. Its text is always one line, and credentials are masked."""

    exit_code = 1
    reason = "error"

    def __str__(self) -> str:
        return " ".join(credentials.masked(super().__str__()).split())


class DecodeFloorError(_OneLine, Exception):
    """A failure that the user can act on. The message says what was wrong, what is allowed and what to do."""


class Stopped(_OneLine):
    """A request to stop. It is no `Exception`, so handlers of failures do not catch it."""


Failure = Union[DecodeFloorError, Stopped]  # noqa: UP007  # `runner.doctor` runs on Python 3.9, too


class UnknownName(DecodeFloorError):
    """A name of a GPU, model, quant, kernel, runtime, ... that is in no catalogue or registry."""

    exit_code = 10
    reason = "unknown-name"


class BadValue(DecodeFloorError):
    """A value out of range, of the wrong type, or with characters that are not allowed; a path without records."""

    exit_code = 11
    reason = "bad-value"


class Usage(BadValue):
    """A command line that cannot be parsed. By convention its exit code is 2."""

    exit_code = 2
    reason = "usage"


class NotAvailable(DecodeFloorError):
    """A value that is planned, but that this version does not support yet."""

    exit_code = 12
    reason = "not-available"


class BadPair(DecodeFloorError):
    """Two fields whose values are known but do not go together."""

    exit_code = 13
    reason = "bad-pair"


class GpuNotFound(DecodeFloorError):
    """The requested GPU is not in this machine, or does not answer."""

    exit_code = 14
    reason = "gpu-not-found"


class GpuAmbiguous(DecodeFloorError):
    """Several GPUs match the request."""

    exit_code = 15
    reason = "gpu-ambiguous"


class BadCheckpoint(DecodeFloorError):
    """A checkpoint that is missing, truncated, pickled or of another shape."""

    exit_code = 16
    reason = "bad-checkpoint"


class Infeasible(DecodeFloorError):
    """The cell does not fit into memory, as predicted from bytes before anything is loaded."""

    exit_code = 17
    reason = "infeasible"


class OutOfMemory(DecodeFloorError):
    """The device ran out of memory during the session."""

    exit_code = 18
    reason = "oom"


class WorkerFailed(DecodeFloorError):
    """The worker crashed, was killed, or stopped because a kernel hung."""

    exit_code = 19
    reason = "worker-failed"


class WorkerTimeout(DecodeFloorError):
    """The worker did not finish in time and was stopped."""

    exit_code = 20
    reason = "worker-timeout"


class StoreUnreachable(DecodeFloorError):
    """The MLflow store cannot take the record: nothing was measured, or the record is safe in the spool."""

    exit_code = 21
    reason = "store-unreachable"


class DiskFull(DecodeFloorError):
    """No space is left for the record or the store."""

    exit_code = 22
    reason = "disk-full"


class InvalidSession(DecodeFloorError):
    """The session ran to its end, but its result is not valid. The record says why."""

    exit_code = 23
    reason = "invalid-session"


class BadRecord(DecodeFloorError):
    """A record that is damaged or of another schema, or whose numbers do not follow from its raw values."""

    exit_code = 24
    reason = "bad-record"


class MissingPackage(DecodeFloorError):
    """A package that this command needs is not installed in this interpreter."""

    exit_code = 25
    reason = "missing-package"


class Mismatch(DecodeFloorError):
    """The kernel, runtime or byte accounting differs from the request: nothing falls back silently."""

    exit_code = 26
    reason = "mismatch"


class NoContainer(DecodeFloorError):
    """The requested container is not available: no engine, no image, or a driver that is too old for it."""

    exit_code = 27
    reason = "no-container"


class DeadlineMissed(DecodeFloorError):
    """No configuration meets the deadline and the other limits. The message names the nearest."""

    exit_code = 28
    reason = "deadline-missed"


class NoEvidence(DecodeFloorError):
    """No configuration is known to meet the limits, and some only lack data: more steps, energy, or a measurement."""

    exit_code = 29
    reason = "no-evidence"


class StudyIncomplete(DecodeFloorError):
    """Sessions of a study are missing: some failed, or its time limit ended it. The same command continues it."""

    exit_code = 30
    reason = "study-incomplete"


class NoFleet(DecodeFloorError):
    """No Ray cluster answers at the address of `--fleet`, or none of its nodes takes sessions."""

    exit_code = 31
    reason = "no-fleet"


class Interrupted(Stopped):
    """Ctrl-C."""

    exit_code = 130
    reason = "interrupted"


class PipeClosed(Stopped):
    """The reader of the output has ended, as `head` does. No message is printed."""

    exit_code = 141
    reason = "pipe-closed"


class Terminated(Stopped):
    """SIGTERM, or the end of the process that started this one."""

    exit_code = 143
    reason = "terminated"


def family() -> tuple[type[Failure], ...]:
    """Returns all errors of the family in order of their exit codes."""
    kinds: list[type[Failure]] = [*DecodeFloorError.__subclasses__(), *Stopped.__subclasses__()]
    return tuple(sorted(kinds, key=lambda kind: kind.exit_code))


def of_reason(reason: str | None) -> type[Failure]:
    """Returns the error of a short name; WorkerFailed if none has it."""
    return next((kind for kind in family() if kind.reason == reason), WorkerFailed)
