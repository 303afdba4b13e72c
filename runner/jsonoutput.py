"""The JSON object that a command prints with `--json`: its result, and the error that ended it.

`runner.doctor` needs it on Python 3.9.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass

from runner.errors import DecodeFloorError, Failure, PipeClosed


@dataclass(frozen=True)
class ErrorInfo:
    """The field `error`, null if the exit code is 0."""

    message: str
    """what is wrong, and what to do"""
    exit_code: int
    """the command's exit code"""
    reason: str
    """the reason that belongs to it in docs/exit-codes.md"""


def error_info(failure: Failure) -> ErrorInfo:
    """Returns the description of a failure."""
    return ErrorInfo(str(failure), failure.exit_code, failure.reason)


def text(result: Mapping[str, object], error: ErrorInfo | None) -> str:
    """Returns a result, empty if the command failed before it had one, and its error as one JSON object."""
    return json.dumps({**result, "error": None if error is None else asdict(error)}, indent=1)


def print_error(failure: Failure, result: Mapping[str, object]) -> None:
    """Prints the object of a command that failed. Errors of the stream are ignored: the failure matters more."""
    with suppress(DecodeFloorError, PipeClosed, OSError):
        print(text(result, error_info(failure)), flush=True)
