"""A finding of the doctor, and the report of all findings: as JSON, and as lines for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby

from runner import __version__, errors, jsonoutput, terminal
from runner.errors import DecodeFloorError
from runner.jsonoutput import ErrorInfo

OK, NOTE, PROBLEM = "ok", "note", "problem"
WIDTH = 80
STATE_WIDTH, NAME_WIDTH = len(PROBLEM), 11


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    name: str
    """name of the check"""
    state: str
    """`ok`, `note` or `problem`; only a problem prevents a valid measurement"""
    finding: str
    """what was found"""
    remedy: str | None = None
    """what to do, null if nothing is to be done or if the finding says it"""
    exit_code: int = 0
    """the exit code with which `cell` would end because of this problem, 0 without one"""


@dataclass(frozen=True)
class Examination:
    """Output of `doctor --json`."""

    version: str
    """version of Decode Floor"""
    gpu: str
    """the requested GPU"""
    valid: bool
    """whether a measurement here would be valid"""
    exit_code: int
    """exit code of the first problem, 0 without one"""
    checks: tuple[Finding, ...]
    """the checks in order"""


def ok(name: str, finding: str) -> Finding:
    """Returns the finding of a check that is passed."""
    return Finding(name, OK, finding)


def note(name: str, finding: str, remedy: str | None = None) -> Finding:
    """Returns a finding that does not make a measurement invalid."""
    return Finding(name, NOTE, finding, remedy)


def problem(name: str, kind: type[DecodeFloorError], finding: str, remedy: str) -> Finding:
    """Returns a finding that prevents a valid measurement."""
    return Finding(name, PROBLEM, finding, remedy, kind.exit_code)


def failed(name: str, error: DecodeFloorError) -> Finding:
    """Returns the problem that an error of the family describes. Its text contains the advice."""
    return Finding(name, PROBLEM, str(error), None, error.exit_code)


@dataclass(frozen=True)
class Report:
    """All findings, in the order of the checks. `gpu` is the requested one."""

    gpu: str
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """Returns the findings that prevent a valid measurement."""
        return tuple(found for found in self.findings if found.state == PROBLEM)

    @property
    def exit_code(self) -> int:
        """Returns the exit code of the first problem, 0 if a measurement would be valid."""
        return self.problems[0].exit_code if self.problems else 0

    def text(self, as_json: bool) -> str:
        """Returns the report as a JSON object, or as lines for a terminal of 80 columns."""
        return self._json() if as_json else "\n".join(self._lines())

    def _json(self) -> str:
        found = Examination(__version__, self.gpu, not self.problems, self.exit_code, self.findings)
        return jsonoutput.text(asdict(found), _error(self.problems[0]) if self.problems else None)

    def _lines(self) -> Iterator[str]:
        for _, alike in groupby(self.findings, lambda found: (found.state, found.finding, found.remedy)):
            yield from _lines(list(alike))
        yield ""
        if not self.problems:
            yield "A measurement here would be valid."
        else:
            names = ", ".join(found.name for found in self.problems)
            yield f"A measurement here would not be valid (exit code {self.exit_code}): {names}."


def _error(found: Finding) -> ErrorInfo:
    """Returns the error that a problem amounts to."""
    reason = next(kind.reason for kind in errors.family() if kind.exit_code == found.exit_code)
    remedy = "" if found.remedy is None else f": {found.remedy}"
    return ErrorInfo(f"{found.name}: {found.finding}{remedy}", found.exit_code, reason)


def _lines(alike: list[Finding]) -> Iterator[str]:
    """Yields the lines of findings that differ in their names alone."""
    found, names = alike[0], ", ".join(each.name for each in alike)
    state = found.state.upper() if found.state == PROBLEM else found.state
    start = f"{state:{STATE_WIDTH}}  {names:{NAME_WIDTH}}  "
    indent = " " * (STATE_WIDTH + NAME_WIDTH + 4)
    if len(start) > len(indent):
        yield start.rstrip()
        start = indent
    yield from _wrapped(found.finding, start, indent)
    if found.remedy is not None:
        yield from _wrapped(found.remedy, f"{indent}-> ", f"{indent}   ")


def _wrapped(text: str, first: str, later: str) -> list[str]:
    # a text may quote a program's answer or a file's name
    return textwrap.wrap(
        terminal.one_line(text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )
