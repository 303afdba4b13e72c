"""Measure an A/B: session by session, block by block, and again from where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from runner.ab import blocks, comparable, cooling, facts, manifest
from runner.ab.arms import Arm, Pair
from runner.ab.manifest import Manifest, SessionEntry
from runner.cell.fieldtypes import known
from runner.errors import BadPair, BadRecord, StoreUnreachable
from runner.launch.container import place as places
from runner.launch.session import Finished, Settings, run_session
from runner.machine import host
from runner.record import written
from runner.record.sessionrecord import MeasuredRecord
from runner.record.spool import MANIFEST_NAME


@dataclass(frozen=True)
class Progress:
    """After a session: which one it was, how many are left of both arms, and the seconds they will about take."""

    arm: Arm
    number: int
    of: int
    left: int
    left_s: float
    finished: Finished


OnSession = Callable[[Progress], None]


def measure(pair: Pair, sessions: int, extension: int, settings: Settings, on_session: OnSession) -> Path:
    """Measure until both arms have `sessions` valid sessions in complete blocks; returns the folder of the manifest.

    What is there already is not measured again. A session that fails or is not valid ends it with its own error; so
    does one of another place, environment or code than those before (BadPair). Raises StoreUnreachable at the end where
    the store was away: the records are safe. `settings.spool` is where the folder is made or found.
    """
    declared = manifest.declare(pair, sessions, extension)
    folder = manifest.folder_of(settings.spool, declared)
    with manifest.alone(folder):
        run = _Run(pair, sessions, replace(settings, spool=folder, run=None), folder, on_session)
        run.start(declared)
        run.to_the_end()
    return folder


class _Run:
    """One command's part of an A/B: the manifest as it grows, and the records behind it."""

    def __init__(self, pair: Pair, sessions: int, settings: Settings, folder: Path, on_session: OnSession) -> None:
        self._arms = {arm.name: arm for arm in pair.arms}
        self._sessions, self._settings, self._folder, self._on_session = sessions, settings, folder, on_session
        self._device = pair.a.plan.device
        self._host_id = host.host_id(self._device.uuid)
        self._records: dict[str, list[MeasuredRecord]] = {"a": [], "b": []}
        self._store_error: StoreUnreachable | None = None
        self._manifest: Manifest

    def start(self, declared: Manifest) -> None:
        """Take up the manifest of the folder, or leave the new one there."""
        path = self._folder / MANIFEST_NAME
        begun = manifest.read(path) if path.exists() else declared
        if self._sessions not in begun.asked:
            begun = replace(begun, asked=(*begun.asked, self._sessions))
        for entry in begun.sessions:
            self._records[entry.arm].append(_measured(self._folder / entry.file))
        self._keep(begun)
        self._adopt()

    def _keep(self, grown: Manifest) -> None:
        self._manifest = grown
        manifest.write(grown, self._folder)

    def _adopt(self) -> None:
        """A session whose record was written just before we were killed belongs to the block that waits for it, be that
        one of another host."""
        last = self._manifest.blocks[-1] if self._manifest.blocks else None
        if last is None or not blocks.is_open(self._manifest, last.host_id):
            return
        index, arm = len(self._manifest.sessions), self._arms[last.next_arm]
        awaited = (index, arm.plan.cell.key, last.host_id)
        for path in sorted(self._folder.glob(f"*-{index}-*.json")):
            record = _readable(path)
            if record and (record.session.index, record.keys.cell_key, record.keys.host_id) == awaited:
                self._add(arm, record, path, cooled_s=0.0)
                self._commit(record, path)
                return

    def _commit(self, record: MeasuredRecord, path: Path) -> None:
        """Commits a record whose writer was killed before it could. A store that is away is told at the end, as of any
        session."""
        if self._settings.commit is not None:
            try:
                self._settings.commit(record, None, path)
            except StoreUnreachable as error:
                self._store_error = error

    def to_the_end(self) -> None:
        while (grown := blocks.opened(self._manifest, self._host_id, self._sessions)).done < self._sessions:
            self._keep(grown)
            self._one(self._arms[grown.blocks[-1].next_arm])
        if self._store_error is not None:
            raise self._store_error

    def _one(self, arm: Arm) -> None:
        self._check_place(arm)
        cooled_s = cooling.cool_down(self._device.uuid, self._settings.on_progress)
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
        """Raises BadPair where the next session would be measured elsewhere than the first, before it is."""
        earlier = [*self._records["a"], *self._records["b"]]
        if not earlier:
            return
        info = places.choose(arm.request.where, arm.request.stack, arm.plan, self._folder).info
        now = facts.place_of(info)
        before = facts.place_of(known(earlier[0].container))
        if before != now:
            raise BadPair(
                f"the next session would be measured in {now}, those before were in {before}: where=here is this "
                "interpreter, where=container the image that now has the name; or name another study= to begin anew"
            )

    def _add(self, arm: Arm, record: MeasuredRecord, path: Path, cooled_s: float) -> None:
        """Puts a measured session into the block. Raises BadPair if it may not be compared with those before."""
        difference = self._difference(arm, record)
        session = record.session
        valid = record.valid and difference is None
        entry = SessionEntry(session.index, arm.name, session.id, path.name, valid, cooled_s)
        self._keep(blocks.with_session(self._manifest, entry))
        self._records[arm.name].append(record)
        if difference is not None:
            raise BadPair(f"session {session.id} of arm {arm.name} cannot be compared: {difference}")

    def _difference(self, arm: Arm, record: MeasuredRecord) -> str | None:
        same, other = (
            [facts.of_record(each) for each in self._records[name]]
            for name in (arm.name, "b" if arm.name == "a" else "a")
        )
        text = comparable.obstacle(facts.of_record(record), arm.plan.cell.key, same, other)
        return text and f"{text}: go back to it, or name another study= to begin anew"

    def _progress(self, arm: Arm, finished: Finished) -> Progress:
        left = blocks.remaining(self._manifest, self._host_id, self._sessions)
        seconds = {name: [record.cost_s.total for record in records] for name, records in self._records.items()}
        every = [second for each in seconds.values() for second in each]
        left_s = sum(count * mean(seconds[name] or every) for name, count in left.items()) if every else 0.0
        number = self._sessions - left[arm.name]
        return Progress(arm, number, self._sessions, sum(left.values()), left_s, finished)


def _readable(path: Path) -> MeasuredRecord | None:
    try:
        return _measured(path)
    except BadRecord:
        return None


def _measured(path: Path) -> MeasuredRecord:
    """Returns the record of a measured session. Raises BadRecord for any other."""
    record = written.read(path)
    if not isinstance(record, MeasuredRecord):
        raise BadRecord(f"{path}: this session was not measured ({record.outcome.status})")
    return record
