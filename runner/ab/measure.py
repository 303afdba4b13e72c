"""Measures an A/B session by session and block by block, and continues one that was stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from runner.ab import blocks, comparable, cooling, facts, manifest
from runner.ab.arms import Arm, Pair
from runner.ab.manifest import Manifest, SessionEntry
from runner.cell.fieldtypes import value_or_none
from runner.errors import BadPair, BadRecord, StoreUnreachable
from runner.launch.container import place as places
from runner.launch.session import Finished, Settings, run_session
from runner.machine import host
from runner.record import written
from runner.record.sessionrecord import MeasuredRecord


@dataclass(frozen=True)
class Progress:
    """Progress after a session: its `number` in its arm of `planned` sessions; `sessions_left` of both arms, which take
    about `seconds_left`."""

    arm: Arm
    number: int
    planned: int
    sessions_left: int
    seconds_left: float
    finished: Finished


OnSession = Callable[[Progress], None]


def measure(pair: Pair, sessions: int, extension: int, settings: Settings, on_session: OnSession) -> Path:
    """Measures until both arms have `sessions` valid sessions in complete blocks. Returns the manifest's folder.

    The folder is made or continued in `settings.spool`. Sessions that it has are not measured again. Raises the error
    of a session that fails or is not valid, and BadPair if the place, environment or code has changed. Raises
    StoreUnreachable after the last session if the store did not take one; its record is safe.
    """
    declared = manifest.declare(pair, sessions, extension)
    folder = manifest.folder_of(settings.spool, declared)
    with manifest.exclusive(folder):
        run = _Run(pair, sessions, replace(settings, spool=folder, run=None), folder, on_session)
        run.start(declared)
        run.measure_sessions()
    return folder


class _Run:
    """State of one `ab` command: the growing manifest, and the records of its sessions."""

    def __init__(self, pair: Pair, sessions: int, settings: Settings, folder: Path, on_session: OnSession) -> None:
        self._arms = {arm.name: arm for arm in pair.arms}
        self._sessions, self._settings, self._folder, self._on_session = sessions, settings, folder, on_session
        self._device = pair.a.plan.device
        self._host_id = host.host_id(self._device.uuid)
        self._records: dict[str, list[MeasuredRecord]] = {"a": [], "b": []}
        self._store_error: StoreUnreachable | None = None
        self._manifest: Manifest

    def start(self, declared: Manifest) -> None:
        """Continues the manifest of the folder, or writes the new one."""
        current = manifest.current(declared, self._folder)
        if self._sessions not in current.asked:
            current = replace(current, asked=(*current.asked, self._sessions))
        for entry in current.sessions:
            self._records[entry.arm].append(_read_measured(self._folder / entry.file))
        self._save(current)
        self._adopt_session()

    def _save(self, grown: Manifest) -> None:
        self._manifest = grown
        manifest.write(grown, self._folder)

    def _adopt_session(self) -> None:
        """Adds the session of a command that was killed after it wrote the record and before it wrote the manifest.

        The open block may be of another host than this one.
        """
        last = self._manifest.blocks[-1] if self._manifest.blocks else None
        if last is None or not blocks.is_open(self._manifest, last.host_id):
            return
        index, arm = len(self._manifest.sessions), self._arms[last.next_arm]
        expected = (index, arm.plan.cell.key, last.host_id)
        for path in sorted(self._folder.glob(f"*-{index}-*.json")):
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

    def measure_sessions(self) -> None:
        """Measures the missing sessions. Raises as `measure`."""
        while (grown := blocks.with_open_block(self._manifest, self._host_id, self._sessions)).done < self._sessions:
            self._save(grown)
            self._measure_session(self._arms[grown.blocks[-1].next_arm])
        if self._store_error is not None:
            raise self._store_error

    def _measure_session(self, arm: Arm) -> None:
        self._check_place(arm)
        cooled_s = cooling.cool_down(self._device.uuid, self._settings.display.phase)
        began_ms = int(time.time() * 1000)
        finished = run_session(arm.request, len(self._manifest.sessions), began_ms, self._settings)
        record = finished.record
        if isinstance(record, MeasuredRecord):
            self._add(arm, record, finished.path, cooled_s)
        self._on_session(self._progress(arm, finished))
        if isinstance(finished.error, StoreUnreachable):
            self._store_error = finished.error
        elif finished.error is not None:
            raise finished.error

    def _check_place(self, arm: Arm) -> None:
        """Raises BadPair if the next session would not be measured where the first one was."""
        earlier = [*self._records["a"], *self._records["b"]]
        if not earlier:
            return
        info = places.choose(arm.request.where, arm.request.stack, arm.plan, self._folder).info
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

    def _progress(self, arm: Arm, finished: Finished) -> Progress:
        remaining = blocks.remaining(self._manifest, self._host_id, self._sessions)
        costs_s = {name: [record.cost_s.total for record in records] for name, records in self._records.items()}
        all_costs_s = [cost_s for arm_costs_s in costs_s.values() for cost_s in arm_costs_s]
        left_s = 0.0
        if all_costs_s:
            left_s = sum(count * mean(costs_s[name] or all_costs_s) for name, count in remaining.items())
        number = self._sessions - remaining[arm.name]
        return Progress(arm, number, self._sessions, sum(remaining.values()), left_s, finished)


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
