"""Standard output and error. Every text can be printed, and a command whose output cannot be written ends in one
line."""

from __future__ import annotations

import errno
import io
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from runner.errors import BadValue, DecodeFloorError, DiskFull, Failure, PipeClosed
from runner.failures import FULL

CONTROLS = ("Cc", "Zl", "Zp")
"""Categories of Unicode: control characters, line separators and paragraph separators."""
STRICT = ("strict", "surrogateescape")
"""Error handlers that raise an error for characters which the encoding lacks."""


class _Output(io.TextIOWrapper):
    """A standard stream that raises PipeClosed, DiskFull or BadValue instead of OSError."""

    # with a buffer, Click would write UTF-8 into it although the encoding is ASCII
    buffer = None  # type: ignore[assignment]  # without a buffer, Click writes to the stream itself

    def write(self, text: str, /) -> int:
        with _translated_errors():
            return super().write(text)

    def flush(self) -> None:
        with _translated_errors():
            super().flush()


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise PipeClosed("the reader of the output has closed it") from error
        kind = DiskFull if error.errno in FULL else BadValue
        raise kind(f"the output cannot be written ({error.strerror}): send it elsewhere") from error


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Replaces sys.stdout and sys.stderr for the duration of the context.

    They replace characters that their encoding lacks. A closed stream accepts and drops all output. Both are flushed at
    the end, so the interpreter has nothing left to fail on when it exits.
    """
    _open_closed()
    sys.stdout, sys.stderr = _wrapped(sys.stdout, "replace"), _wrapped(sys.stderr, "backslashreplace")
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            _finish(stream)


def _open_closed() -> None:
    """Opens closed standard streams on the null device.

    Otherwise a file that is opened later could get the number of standard output, and libraries would write into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is `number`


def _wrapped(stream: TextIO | None, error_handler: str) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    errors = error_handler if stream.errors in STRICT else stream.errors
    assert isinstance(stream, io.TextIOWrapper)
    wrapped = _Output(stream.buffer, stream.encoding, errors)
    wrapped.reconfigure(line_buffering=stream.line_buffering, write_through=stream.write_through)
    return wrapped


def _finish(stream: TextIO) -> None:
    try:
        stream.flush()
    except (DecodeFloorError, PipeClosed):
        null_device = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null_device, stream.fileno())
        os.close(null_device)


def print_failure(failure: Failure) -> None:
    """Writes the failure's line to standard error, unless the failure is a closed pipe."""
    if not isinstance(failure, PipeClosed):
        say(f"error: {one_line(str(failure))}")


def one_line(text: str) -> str:
    """Returns the text with line ends and other control characters escaped. A file's name could contain them, and look
    like a line of this program or clear the screen."""
    return "".join(repr(char)[1:-1] if unicodedata.category(char) in CONTROLS else char for char in text)


def say(text: str) -> None:
    """Writes a line to standard error. Errors of the stream are ignored: nothing depends on the line."""
    with suppress(DecodeFloorError, PipeClosed, OSError):
        print(text, file=sys.stderr, flush=True)
