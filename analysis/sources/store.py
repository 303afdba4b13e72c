"""Sessions from an MLflow store: by its tables where they are known, else through MLflow's client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from analysis.sources import cache, database, lookups, sql
from analysis.sources.client import ClientStore
from analysis.sources.database import Database
from analysis.sources.frame import Details, Frame, run_ids
from runner.store import address

SESSIONS, COMPARED = "sessions", "compared"
"""What a frame is of."""


class Store:
    """See `frame.Source`."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self.shown = address.shown(uri)
        self._client: ClientStore | None = None if database.kind_of(uri) else ClientStore(uri)
        self._notes: tuple[str, ...] = ()
        self._run_ids: dict[str, str] = {}

    def frame(self, asked: Sequence[str]) -> Frame:
        found = self._frame(SESSIONS, asked, lambda opened: sql.frame(opened, self.shown, asked))
        self._run_ids = run_ids(found)
        return found

    def compared(self, asked: Sequence[str]) -> Frame:
        return self._frame(COMPARED, asked, lambda opened: lookups.compared(opened, self.shown, asked))

    def details(self, sessions: Sequence[str]) -> dict[str, Details]:
        if self._client is not None:
            return self._client.details(sessions)
        with database.opened(self._uri) as opened:
            return lookups.details(opened, {session: self._run_ids[session] for session in sessions})

    def _frame(self, what: str, asked: Sequence[str], read: Callable[[Database], Frame]) -> Frame:
        """From the cache where nothing was committed to the store since."""
        if self._client is not None:
            found = self._client.compared(asked) if what == COMPARED else self._client.frame(asked)
            return replace(found, notes=(*found.notes, *self._notes))
        state = database.state(self._uri)
        kept = cache.entry(self._uri, state, what, asked)
        if (found_there := cache.load(kept)) is not None:
            return found_there
        with database.opened(self._uri) as opened:
            revision = opened.revision()
            if revision not in sql.TESTED_REVISIONS:
                self._client, self._notes = ClientStore(self._uri), (_unknown(revision),)
                return self._frame(what, asked, read)
            made = read(opened)
        if database.state(self._uri) == state:  # else what was read may be neither the one nor the other
            cache.keep(kept, made)
        return made


def _unknown(revision: str | None) -> str:
    known = ", ".join(sql.TESTED_REVISIONS)
    return (
        f"read through MLflow, which takes longer: this version knows the tables of schema {known}, not of {revision}"
    )
