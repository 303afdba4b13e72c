"""Sessions from an MLflow store: by its tables where they are known, else through MLflow's client."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analysis.sources import cache, sql
from analysis.sources.client import ClientStore
from analysis.sources.frame import Details, Frame
from runner.errors import BadRecord
from runner.store import address


class Store:
    """See `frame.Source`."""

    def __init__(self, uri: str) -> None:
        """Raises BadRecord where it is an SQLite file that does not exist."""
        self._uri = uri
        self.shown = address.shown(uri)
        self._file = address.sqlite_file(uri)
        if self._file is not None and not self._file.is_file():
            raise BadRecord(
                f"there is no MLflow store {self.shown} yet: measure a cell, `python -m runner import` records, or "
                "name another with --store"
            )
        self._client: ClientStore | None = None if sql.kind_of(uri) else ClientStore(uri)
        self._notes: tuple[str, ...] = ()
        self._run_ids: dict[str, str] = {}

    def frame(self, metrics: Sequence[str]) -> Frame:
        asked = sorted(metrics)
        found = self._kept(asked) or self._read(asked)
        self._run_ids = dict(found.sessions.select("session", "run_id").iter_rows())
        return found

    def details(self, sessions: Sequence[str]) -> dict[str, Details]:
        if self._client is not None:
            return self._client.details(sessions)
        with sql.opened(self._uri) as database:
            return sql.details(database, {session: self._run_ids[session] for session in sessions})

    def _kept(self, asked: Sequence[str]) -> Frame | None:
        """From the cache, where a look at the file says that nothing was committed since."""
        return None if self._file is None else cache.load(self._place(cache.sqlite_token(self._file), asked))

    def _place(self, token: str, asked: Sequence[str]) -> Path:
        return cache.entry(self._uri, token, asked)

    def _read(self, asked: Sequence[str]) -> Frame:
        if self._client is not None:
            return replace(found := self._client.frame(asked), notes=(*found.notes, *self._notes))
        with sql.opened(self._uri) as database:
            revision = database.revision()
            if revision in sql.TESTED_REVISIONS:
                return self._read_tables(database, asked)
        self._client, self._notes = ClientStore(self._uri), (_unknown(revision),)
        return self._read(asked)

    def _read_tables(self, database: sql.Database, asked: Sequence[str]) -> Frame:
        """Of a server the state shows only in an open transaction, whose first query is this one."""
        place = self._place(self._token(database), asked)
        if (kept := cache.load(place)) is not None:
            return kept
        found = sql.frame(database, self.shown, asked)
        if self._place(self._token(database), asked) == place:
            cache.keep(place, found)
        return found

    def _token(self, database: sql.Database) -> str:
        return database.snapshot() if self._file is None else cache.sqlite_token(self._file)


def _unknown(revision: str | None) -> str:
    known = ", ".join(sql.TESTED_REVISIONS)
    return (
        f"read through MLflow, which takes longer: this version knows the tables of schema {known}, not of {revision}"
    )
