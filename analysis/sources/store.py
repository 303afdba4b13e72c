"""Sessions from an MLflow store: directly from its tables if their schema is known, else through MLflow's client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from analysis.sources import cache, database, lookups, sql
from analysis.sources.client import ClientStore
from analysis.sources.database import Database
from analysis.sources.frame import Details, Frame, run_ids
from runner.store import address
from runner.store.look import spelling

SESSIONS, COMPARED = "sessions", "compared"
"""Kinds of frames: all sessions, or A/Bs only."""


class Store:
    """A `frame.Source` of an MLflow store."""

    def __init__(self, uri: str) -> None:
        spelling.check(uri)
        self._uri = uri
        self.label = address.masked_uri(uri)
        self._client: ClientStore | None = None if database.kind_of(uri) else ClientStore(uri)
        self._notes: tuple[str, ...] = ()
        self._run_ids: dict[str, str] = {}

    def frame(self, needed: Sequence[str]) -> Frame:
        frame = self._frame(SESSIONS, needed, lambda opened: sql.frame(opened, self.label, needed))
        self._run_ids = run_ids(frame)
        return frame

    def compared(self, needed: Sequence[str]) -> Frame:
        return self._frame(COMPARED, needed, lambda opened: lookups.compared(opened, self.label, needed))

    def details(self, sessions: Sequence[str]) -> dict[str, Details]:
        if self._client is not None:
            return self._client.details(sessions)
        with database.opened(self._uri) as opened:
            return lookups.details(opened, {session: self._run_ids[session] for session in sessions})

    def _frame(self, kind: str, needed: Sequence[str], read: Callable[[Database], Frame]) -> Frame:
        """Returns the cached frame if the store has not changed since, else reads it."""
        if self._client is not None:
            frame = self._client.compared(needed) if kind == COMPARED else self._client.frame(needed)
            return replace(frame, notes=(*frame.notes, *self._notes))
        state = database.state(self._uri)
        entry = cache.entry(self._uri, state, kind, needed)
        if (cached := cache.load(entry)) is not None:
            return cached
        with database.opened(self._uri) as opened:
            revision = opened.revision()
            if revision not in sql.TESTED_REVISIONS:
                self._client, self._notes = ClientStore(self._uri), (_unknown_schema(revision),)
                return self._frame(kind, needed, read)
            read_frame = read(opened)
        if database.state(self._uri) == state:  # otherwise the frame may mix two states
            cache.keep(entry, read_frame)
        return read_frame


def _unknown_schema(revision: str | None) -> str:
    known = ", ".join(sql.TESTED_REVISIONS)
    return (
        f"read through MLflow, which takes longer: this version knows the tables of schema {known}, not of {revision}"
    )
