"""The sessions of an A/B, measured block by block. A stopped A/B is continued."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import mean

from runner.ab import blocks, comparable, cooling, facts, manifest
from runner.ab.arms import Arm, Pair
from runner.ab.manifest import Manifest, SessionEntry
from runner.cell.fieldtypes import value_or_none
from runner.errors import BadPair, BadRecord, Failure, StoreUnreachable
from runner.launch.container import place as places
from runner.launch.session import Finished, Settings, run_session
from runner.machine import host
from runner.record import written
from runner.record.sessionrecord import MeasuredRecord


class PairSeries:
    """The sessions of an A/B: its growing manifest, and the records of its sessions.

    The manifest's folder is made or continued in `settings.spool`. Sessions that it has are not measured again.
    """

    def __init__(self, pair: Pair, sessions: int, extension: int, settings: Settings) -> None:
        self._declared = manifest.declare(pair, sessions, extension)
        self.folder = manifest.folder_of(settings.spool, self._declared)
        self.planned = sessions
        self._arms = {arm.name: arm for arm in pair.arms}
        self._settings = replace(settings, spool=self.folder, run=None)
        self._device = pair.a.plan.device
        self._host_id = host.host_id(self._device.uuid)
        self._records: dict[str, list[MeasuredRecord]] = {name: [] for name in self._arms}
        self._manifest = self._declared
        self._store_error: StoreUnreachable | None = None
        self.measured_arm = pair.a
        """arm of the last session; arm a before the first one"""

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Holds the A/B's folder, and continues its manifest or writes a new one.

        Raises StoreUnreachable at the end if the store did not take a record that an earlier command had left.
        """
        with manifest.exclusive(self.folder):
            current = manifest.current(self._declared, self.folder)
            if self.planned not in current.asked:
                current = replace(current, asked=(*current.asked, self.planned))
            for entry in current.sessions:
                self._records[entry.arm].append(_read_measured(self.folder / entry.file))
            self._save(current)
            self._adopt_session()
            yield
        if self._store_error is not None:
            raise self._store_error

    @property
    def is_complete(self) -> bool:
        """Returns whether the A/B has all its sessions; False before it was opened."""
        return self._manifest.done >= self.planned

    @property
    def is_at_block_end(self) -> bool:
        """Returns whether the last block is complete, so that the next session would begin one."""
        return self._manifest.blocks[-1].is_complete

    def remaining(self) -> int:
        """Returns the number of sessions still to measure in both arms, provided that each is valid."""
        return sum(self.remaining_by_arm().values())

    def remaining_by_arm(self) -> dict[str, int]:
        """Returns the number of sessions still to measure in each arm, provided that each is valid."""
        return blocks.remaining(self._manifest, self._host_id, self.planned)

    def expected_s(self) -> float | None:
        """Returns the mean seconds of the next arm's sessions, or of both arms' sessions before its first one."""
        return self._expected_by_arm()[self._next_arm.name]

    def remaining_s(self) -> float | None:
        """Returns the seconds that all missing sessions may take; None before the first session."""
        expected_s = self._expected_by_arm()
        known = [(count, expected_s[name]) for name, count in self.remaining_by_arm().items() if count]
        seconds = [count * each for count, each in known if each is not None]
        return sum(seconds) if len(seconds) == len(known) else None

    def _expected_by_arm(self) -> dict[str, float | None]:
        costs_s = {name: [record.cost_s.total for record in records] for name, records in self._records.items()}
        all_costs_s = [cost_s for arm_costs_s in costs_s.values() for cost_s in arm_costs_s]
        return {name: mean(costs_s[name] or all_costs_s) if all_costs_s else None for name in self._arms}

    def ends_with(self, _error: Failure) -> bool:
        """Returns True: a failed session has no place in a block."""
        return True

    @property
    def _next_arm(self) -> Arm:
        return self._arms[blocks.with_open_block(self._manifest, self._host_id, self.planned).blocks[-1].next_arm]

    def measure(self) -> Finished:
        """Measures the next session. Raises BadPair if the place, environment or code has changed."""
        self._save(blocks.with_open_block(self._manifest, self._host_id, self.planned))
        arm = self.measured_arm = self._next_arm
        self._check_place(arm)
        cooled_s = cooling.cool_down(self._device.uuid, self._settings.display.phase)
        began_ms = int(time.time() * 1000)
        finished = run_session(arm.request, len(self._manifest.sessions), began_ms, self._settings)
        if isinstance(finished.record, MeasuredRecord):
            self._add(arm, finished.record, finished.path, cooled_s)
        return finished

    def _save(self, grown: Manifest) -> None:
        self._manifest = grown
        manifest.write(grown, self.folder)

    def _adopt_session(self) -> None:
        """Adds the session of a command that was killed after it wrote the record and before it wrote the manifest.

        The open block may be of another host than this one.
        """
        last = self._manifest.blocks[-1] if self._manifest.blocks else None
        if last is None or not blocks.is_open(self._manifest, last.host_id):
            return
        index, arm = len(self._manifest.sessions), self._arms[last.next_arm]
        expected = (index, arm.plan.cell.key, last.host_id)
        for path in sorted(self.folder.glob(f"*-{index}-*.json")):
            record = _try_read_measured(path)
            if record and (record.session.index, record.keys.cell_key, record.keys.host_id) == expected:
                self._add(arm, record, path, cooled_s=0.0)
                self._commit(record, path)
                return

    def _commit(self, record: MeasuredRecord, path: Path) -> None:
        """Commits an adopted record. Keeps StoreUnreachable for the end, as for any session."""
        if self._settings.commit is not None:
            try:
                self._settings.commit(record, None, path)
            except StoreUnreachable as error:
                self._store_error = error

    def _check_place(self, arm: Arm) -> None:
        """Raises BadPair if the next session would not be measured where the first one was."""
        earlier = [*self._records["a"], *self._records["b"]]
        if not earlier:
            return
        info = places.choose(arm.request.where, arm.request.stack, arm.plan, self.folder).info
        place = facts.place_of(info)
        first_place = facts.place_of(value_or_none(earlier[0].container))
        if first_place != place:
            raise BadPair(
                f"the next session would be measured in {place}, the earlier sessions were in {first_place}: choose "
                "where=here (this interpreter) or where=container (the image that has the name now), or begin a new "
                "A/B with another study="
            )

    def _add(self, arm: Arm, record: MeasuredRecord, path: Path, cooled_s: float) -> None:
        """Adds a measured session to the block. Raises BadPair if it cannot be compared with the earlier ones."""
        difference = self._difference(arm, record)
        session = record.session
        valid = record.valid and difference is None
        entry = SessionEntry(session.index, arm.name, session.id, path.name, valid, cooled_s)
        self._save(blocks.with_session(self._manifest, entry))
        self._records[arm.name].append(record)
        if difference is not None:
            raise BadPair(f"session {session.id} of arm {arm.name} cannot be compared: {difference}")

    def _difference(self, arm: Arm, record: MeasuredRecord) -> str | None:
        same_arm, other_arm = (
            [facts.record_facts(earlier) for earlier in self._records[name]]
            for name in (arm.name, "b" if arm.name == "a" else "a")
        )
        text = comparable.obstacle(facts.record_facts(record), arm.plan.cell.key, same_arm, other_arm)
        return text and f"{text}: undo that change, or begin a new A/B with another study="


def _try_read_measured(path: Path) -> MeasuredRecord | None:
    try:
        return _read_measured(path)
    except BadRecord:
        return None


def _read_measured(path: Path) -> MeasuredRecord:
    """Reads the record of a measured session. Raises BadRecord for any other file."""
    record = written.read(path)
    if not isinstance(record, MeasuredRecord):
        raise BadRecord(f"{path}: this session was not measured ({record.outcome.status}): {manifest.RESTORE}")
    return record
