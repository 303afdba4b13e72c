"""A finding of the doctor, and the report of all findings: as JSON, and as lines for a terminal."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from runner import __version__, terminal
from runner.errors import DecodeFloorError

OK, NOTE, PROBLEM = "ok", "note", "problem"
WIDTH = 80
STATE_WIDTH, NAME_WIDTH = len(PROBLEM), 11


@dataclass(frozen=True)
class Finding:
    """The result of one check. `exit_code` is that of `cell` if it met this problem, 0 without one."""

    name: str
    state: str
    finding: str
    remedy: str | None = None
    exit_code: int = 0


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
    def exit_code(self) -> int:
        """Returns the exit code of the first problem, 0 if a measurement would be valid."""
        return next((found.exit_code for found in self.findings if found.state == PROBLEM), 0)

    def to_json(self) -> dict[str, Any]:
        """Returns the report as a JSON object."""
        checks = [asdict(found) for found in self.findings]
        return {
            "version": __version__,
            "gpu": self.gpu,
            "valid": self.exit_code == 0,
            "exit_code": self.exit_code,
            "checks": checks,
        }

    def text(self, as_json: bool) -> str:
        """Returns the report as a JSON object, or as lines for a terminal of 80 columns."""
        return json.dumps(self.to_json(), indent=2) if as_json else "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for _, alike in groupby(self.findings, lambda found: (found.state, found.finding, found.remedy)):
            yield from _lines(list(alike))
        problems = [found.name for found in self.findings if found.state == PROBLEM]
        yield ""
        if not problems:
            yield "A measurement here would be valid."
        else:
            yield f"A measurement here would not be valid (exit code {self.exit_code}): {', '.join(problems)}."


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
