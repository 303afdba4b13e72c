"""Standard output and error: every text can be printed, and a command whose output nobody takes ends in one line."""

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
"""Categories of Unicode: control characters, ends of lines and of paragraphs."""
STRICT = ("strict", "surrogateescape")
"""How Python treats a character that the encoding has not got, or a name of bytes that are none."""


class _Output(io.TextIOWrapper):
    """A standard stream whose failures are of the family. Raises PipeClosed, DiskFull, BadValue."""

    # Click would write UTF-8 into it where the encoding is ASCII
    buffer = None  # type: ignore[assignment]  # what Click does with a stream that has none: it writes to the stream

    def write(self, text: str, /) -> int:
        with _explained():
            return super().write(text)

    def flush(self) -> None:
        with _explained():
            super().flush()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise PipeClosed("nobody reads the output any more") from error
        kind = DiskFull if error.errno in FULL else BadValue
        raise kind(f"the output cannot be written ({error.strerror}): send it elsewhere") from error


@contextmanager
def settled() -> Iterator[None]:
    """Within it sys.stdout and sys.stderr replace what their encoding lacks, and take whatever is written where they
    are closed. Afterwards nothing is left for the interpreter to fail on when it ends."""
    _open_closed()
    sys.stdout, sys.stderr = _wrapped(sys.stdout, "replace"), _wrapped(sys.stderr, "backslashreplace")
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            _finish(stream)


def _open_closed() -> None:
    """A file that is opened later must not become standard output by chance: libraries write there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which this is


def _wrapped(stream: TextIO | None, instead: str) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    errors = instead if stream.errors in STRICT else stream.errors
    assert isinstance(stream, io.TextIOWrapper)
    wrapped = _Output(stream.buffer, stream.encoding, errors)
    wrapped.reconfigure(line_buffering=stream.line_buffering, write_through=stream.write_through)
    return wrapped


def _finish(stream: TextIO) -> None:
    try:
        stream.flush()
    except (DecodeFloorError, PipeClosed):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


def complain(failure: Failure) -> None:
    """The failure's line on standard error, where somebody reads it."""
    if not isinstance(failure, PipeClosed):
        say(f"error: {one_line(str(failure))}")


def one_line(text: str) -> str:
    """The text with line ends and other control characters spelled out: with them a file's name may look like a line of
    ours, or clear the screen."""
    return "".join(repr(each)[1:-1] if unicodedata.category(each) in CONTROLS else each for each in text)


def say(text: str) -> None:
    """A line on standard error that nothing depends on: that nobody takes it is no failure."""
    with suppress(DecodeFloorError, PipeClosed, OSError):
        print(text, file=sys.stderr, flush=True)
