"""A study as its file declares it."""

from __future__ import annotations

from dataclasses import dataclass

from runner.plan.request import Request


@dataclass(frozen=True)
class Arms:
    """Both arms of an A/B: the field of the request in which they differ, and its values.

    An A/A has the field `none` and twice the value `auto`.
    """

    field: str
    a: str
    b: str


@dataclass(frozen=True)
class Entry:
    """One cell of a study as requested, or an A/B of two cells. `place` is its part of the file: `floor.yaml:7:
    matrix`."""

    request: Request
    arms: Arms | None
    place: str


@dataclass(frozen=True)
class Study:
    """A study: its entries, and the sessions of each cell or arm. `extension` counts the additional sessions of each
    arm if an interval is wide. If it is `interleaved`, its cells are measured in turns of one session each."""

    name: str
    sessions: int
    extension: int
    entries: tuple[Entry, ...]
    interleaved: bool = False
