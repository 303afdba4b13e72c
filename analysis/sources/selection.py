"""The selection of a command: a source of sessions, and filters on them."""

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
class Selection:
    """A source with filters. `uri` is that of the store, None for records. `filters` maps gpu, model and study to a
    value or None for any."""

    source: Source
    uri: str | None
    filters: dict[str, str | None]

    @classmethod
    def from_options(
        cls, store: str | None, records: Path | None, gpu: str | None, model: str | None, study: str | None
    ) -> Selection:
        """Returns the selection of a command's options. `auto` is the same as no value (MLproject has no other
        default).

        Raises BadValue for an empty value, for two sources, or if the folder has no records.
        """
        for name, value in {"store": store, "gpu": gpu, "model": model, "study": study}.items():
            if value == "":
                raise BadValue(f"--{name} is empty: give it a value, or leave it out")
        store = None if store == AUTO else store
        if store is not None and records is not None:
            raise BadValue("--store and --records exclude each other: name one")
        values = {"gpu": gpu, "model": model, "study": study}
        filters = {name: None if value == AUTO else value for name, value in values.items()}
        if records is not None:
            from analysis.sources.records import Folder

            return cls(Folder(records), None, filters)
        from analysis.sources.store import Store

        uri = store or address.tracking_uri()
        return cls(Store(uri), uri, filters)

    @property
    def description(self) -> str:
        """Returns the filters as text, empty without any."""
        return " and ".join(f"{name} {value}" for name, value in self.filters.items() if value is not None)

    def frame(self, needed: Sequence[str]) -> Frame:
        """Returns the sessions with these metrics and optional columns. Raises BadValue if the filters exclude every
        session."""
        whole = self.source.frame(self._columns(needed))
        filtered = whole.where(**self.filters)
        if self.description and filtered.every.is_empty() and not whole.every.is_empty():
            raise BadValue(f"no session in {self.source.label} has {self.description}: it has {_values(whole)}")
        return filtered

    def compared(self, needed: Sequence[str]) -> Frame:
        """Returns the A/Bs with at least their sessions. Raises BadValue if the filters exclude every session of the
        source."""
        filtered = self.source.compared(self._columns(needed)).where(**self.filters)
        if self.description and filtered.every.is_empty():
            self.frame(())  # raises if no session matches, in an A/B or not
        return filtered

    def _columns(self, needed: Sequence[str]) -> list[str]:
        study = [STUDY] if self.filters["study"] is not None else []
        return [*dict.fromkeys(needed), *study]


def _values(frame: Frame) -> str:
    cell_values = {name: sorted({str(cell[name]) for cell in frame.cells.values()}) for name in ("gpu", "model")}
    every = frame.every
    studies = sorted(every[STUDY].unique().drop_nulls().to_list()) if STUDY in every.columns else []
    by_name = {**cell_values, **({STUDY: studies} if studies else {})}
    return "; ".join(f"{name} {', '.join(values)}" for name, values in by_name.items())
