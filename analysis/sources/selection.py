"""What a command asks for: a source of sessions, and which of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.sources.columns import STUDY
from analysis.sources.frame import Frame, Source
from runner.cell.vocabulary import AUTO
from runner.errors import BadValue
from runner.store import address


@dataclass(frozen=True)
class Asked:
    """`uri` is the store's, None for records; `filters` maps gpu, model and study to the value wanted, None for any."""

    source: Source
    uri: str | None
    filters: dict[str, str | None]

    @classmethod
    def of(
        cls, store: str | None, records: Path | None, gpu: str | None, model: str | None, study: str | None
    ) -> Asked:
        """From a command's options; `auto` is as good as none (MLproject has no other default).

        Raises BadValue for two sources, BadRecord where there is no such folder or file.
        """
        store = None if store == AUTO else store
        if store is not None and records is not None:
            raise BadValue("--store and --records exclude each other: name one")
        wanted = {"gpu": gpu, "model": model, "study": study}
        filters = {name: None if value == AUTO else value for name, value in wanted.items()}
        if records is not None:
            from analysis.sources.records import Folder

            return cls(Folder(records), None, filters)
        from analysis.sources.store import Store

        uri = store or address.tracking_uri()
        return cls(Store(uri), uri, filters)

    @property
    def told(self) -> str:
        """The filters in words, empty without any."""
        return " and ".join(f"{name} {value}" for name, value in self.filters.items() if value is not None)

    def frame(self, asked: Sequence[str]) -> Frame:
        """The sessions with these metrics and optional columns. Raises BadValue where a filter leaves none."""
        whole = self.source.frame(self._columns(asked))
        kept = whole.where(**self.filters)
        if self.told and kept.sessions.is_empty() and not whole.sessions.is_empty():
            raise BadValue(f"no session in {self.source.shown} has {self.told}: it has {_values(whole)}")
        return kept

    def compared(self, asked: Sequence[str]) -> Frame:
        """The A/Bs with (at least) their sessions. Raises BadValue where a filter leaves no session at all."""
        kept = self.source.compared(self._columns(asked)).where(**self.filters)
        if self.told and kept.sessions.is_empty():
            self.frame(())  # whether the filter fits any session, those of A/Bs alone do not tell
        return kept

    def _columns(self, asked: Sequence[str]) -> list[str]:
        study = [STUDY] if self.filters["study"] is not None else []
        return [*dict.fromkeys(asked), *study]


def _values(frame: Frame) -> str:
    of_cells = {name: sorted({str(cell[name]) for cell in frame.cells.values()}) for name in ("gpu", "model")}
    studies = sorted(frame.sessions[STUDY].unique().drop_nulls().to_list()) if STUDY in frame.sessions.columns else []
    found = {**of_cells, **({STUDY: studies} if studies else {})}
    return "; ".join(f"{name} {', '.join(values)}" for name, values in found.items())
