"""The missing sessions of a study's entries as orders to nodes, and what becomes of the deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from runner.ab import manifest
from runner.ab.arms import Arm
from runner.ab.pairseries import PairSeries
from runner.errors import BadPair
from runner.fleet import arrivals
from runner.fleet.orders import BlockOrder, Delivery, SessionOrder
from runner.launch.series import Series
from runner.launch.session import Finished, Settings
from runner.record.sessionrecord import MeasuredRecord, SessionRecord
from runner.record.spool import MANIFEST_NAME
from runner.study import prepared
from runner.study.cellseries import CellSessions
from runner.study.prepared import Prepared
from runner.study.standing import Standing


class FleetSeries(Series, Protocol):
    """Sessions that belong together, measured on nodes."""

    @property
    def gpu(self) -> str:
        """Returns the GPU that a node needs, or cpu."""
        ...

    def next_order(self) -> SessionOrder | BlockOrder | None:
        """Returns the next order; None if all are given, or if the next one depends on a delivery."""
        ...

    def take(self, delivery: Delivery) -> Iterator[Finished]:
        """Writes the delivered records into the spool and commits them. Yields each session."""
        ...


class FleetCell(CellSessions):
    """The missing sessions of a cell. Several nodes may measure them at the same time."""

    def __init__(self, standing: Standing, missing: int, settings: Settings) -> None:
        request = standing.planned.entry.request
        super().__init__(request, missing, standing.next_index, standing.session_s, settings)
        (self._cell_key,) = standing.planned.keys
        self._unordered = missing
        self.gpu = standing.planned.gpu

    def next_order(self) -> SessionOrder | None:
        if not self._unordered:
            return None
        self._unordered, self._index = self._unordered - 1, self._index + 1
        return SessionOrder(self._request, self._index - 1, self._cell_key)

    def take(self, delivery: Delivery) -> Iterator[Finished]:
        for finished in arrivals.taken(arrivals.arrival("", delivery.records, None), self._settings):
            self._count(finished)
            yield finished


class FleetPair(PairSeries):
    """The sessions of an A/B. A node measures a whole block, and the next block follows its delivery."""

    def __init__(self, standing: Standing, sessions: int, extension: int, settings: Settings) -> None:
        pair, entry = standing.planned.pair, standing.planned.entry
        assert pair is not None
        assert entry.arms is not None
        super().__init__(pair, sessions, extension, settings)
        self._of_spool = settings
        self._host_id = ""
        self._request, self._declared_arms, self._extension = entry.request, entry.arms, extension
        self._is_ordered = False
        self._arriving = 0
        self.gpu = standing.planned.gpu

    def remaining(self) -> int:
        """Returns the number of sessions still to measure, and of those that have arrived and were not yielded yet."""
        return super().remaining() + self._arriving

    def expected_s(self) -> float | None:
        """Returns the seconds of the next session on a node; None if there is none."""
        return super().expected_s() if super().remaining() else None

    def next_order(self) -> BlockOrder | None:
        if self._is_ordered or not self.remaining():
            return None
        self._is_ordered = True
        current = self._manifest
        records = {entry.file: (self.folder / entry.file).read_text(encoding="utf-8") for entry in current.sessions}
        count = min(self.remaining(), 2 * manifest.LONGEST_BLOCK)
        return BlockOrder(
            self._request, self._declared_arms, self.planned, self._extension, current.text, records, count
        )

    def take(self, delivery: Delivery) -> Iterator[Finished]:
        self._is_ordered = False
        if delivery.manifest is not None:
            grown = manifest.parse(delivery.manifest, MANIFEST_NAME)
            known = len(self._manifest.sessions)
            if grown.id != self._manifest.id or grown.sessions[:known] != self._manifest.sessions:
                raise BadPair(f"node {delivery.node} returned another A/B: its sessions are left out")
            arrived = arrivals.arrival(self.folder.name, delivery.records, grown.text)
            self._manifest, self._arriving = grown, len(arrived.records)
            for finished in arrivals.taken(arrived, self._of_spool):
                self._arriving -= 1
                arm = self.measured_arm = self._arm_of(finished.record)
                if isinstance(finished.record, MeasuredRecord):
                    self._records[arm.name].append(finished.record)
                yield finished

    def _arm_of(self, measured: SessionRecord) -> Arm:
        """Returns the arm of a session. One that failed is not in the manifest, and its cell tells the arm."""
        names = {entry.session: entry.arm for entry in self._manifest.sessions}
        of_cell = (name for name, arm in self._arms.items() if arm.plan.cell.key == measured.keys.cell_key)
        return self._arms[names.get(measured.session.id) or next(of_cell)]


def missing_series(found: Prepared, settings: Settings) -> Iterator[tuple[FleetSeries, Standing]]:
    """Yields the series of each entry that the fleet measures now, with its standing."""
    study = found.study
    for standing, count in prepared.missing(found):
        if standing.planned.pair is not None:
            yield FleetPair(standing, study.sessions, study.extension, settings), standing
        else:
            yield FleetCell(standing, count, settings), standing
