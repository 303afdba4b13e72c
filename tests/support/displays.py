"""A display of sessions that collects what it is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Seen:
    """Collects the sessions, notes and phases."""

    def __init__(self) -> None:
        self.sessions: list[tuple[str, float | None]] = []
        self.notes: list[str] = []
        self.phases: list[tuple[str, float]] = []
        self.positions: list[str] = []

    @contextmanager
    def session(self, title: str, expected_s: float | None) -> Iterator[None]:
        self.sessions.append((title, expected_s))
        yield

    def position(self, text: str) -> None:
        self.positions.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def wait(self, text: str) -> None:
        self.notes.append(text)

    def phase(self, name: str, elapsed_s: float) -> None:
        self.phases.append((name, elapsed_s))
