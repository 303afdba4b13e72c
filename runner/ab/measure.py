"""Measure an A/B: session by session, block by block, and again from where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from runner.ab import blocks, comparable, cooling, facts, manifest
from runner.ab.arms import Arm, Pair
from runner.ab.manifest import Manifest, SessionEntry
from runner.errors import BadPair, BadRecord, StoreUnreachable
from runner.launch.container import place as places
from runner.launch.session import Finished, Settings, run_session
from runner.machine import host
from runner.record import record
from runner.record.spool import MANIFEST_NAME

Record = Mapping[str, Any]


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
        self._records: dict[str, list[Record]] = {"a": [], "b": []}
        self._store_error: StoreUnreachable | None = None
        self._manifest: Manifest

    def start(self, declared: Manifest) -> None:
        """Take up the manifest of the folder, or leave the new one there."""
        path = self._folder / MANIFEST_NAME
        found = manifest.read(path) if path.exists() else declared
        if self._sessions not in found.asked:
            found = replace(found, asked=(*found.asked, self._sessions))
        for entry in found.sessions:
            self._records[entry.arm].append(record.read(self._folder / entry.file))
        self._keep(found)
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
        index, wanted = len(self._manifest.sessions), self._arms[last.next_arm]
        awaited = {"cell_key": wanted.plan.cell.key, "host_id": last.host_id}
        for path in sorted(self._folder.glob(f"*-{index}-*.json")):
            found = _readable(path)
            if found and found["session"]["index"] == index and awaited.items() <= found["keys"].items():
                self._add(wanted, found, path, cooled_s=0.0)
                self._commit(found, path)
                return

    def _commit(self, found: Record, path: Path) -> None:
        """Whoever wrote that record had no time to. A store that is away is told at the end, as of any session."""
        if self._settings.commit is not None:
            try:
                self._settings.commit(dict(found), None, path)
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
        if record.is_measured(finished.record):
            self._add(arm, finished.record, finished.path, cooled_s)
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
        now = facts.place_of(asdict(info) if info else None)
        before = facts.place_of(earlier[0].get("container"))
        if before != now:
            raise BadPair(
                f"the next session would be measured in {now}, those before were in {before}: where=here is this "
                "interpreter, where=container the image that now has the name; or name another study= to begin anew"
            )

    def _add(self, arm: Arm, found: Record, path: Path, cooled_s: float) -> None:
        """Put a measured session into the block. Raises BadPair when it may not be compared with those before."""
        difference = self._difference(arm, found)
        session = found["session"]
        valid = bool(found["valid"]) and difference is None
        entry = SessionEntry(session["index"], arm.name, session["id"], path.name, valid, cooled_s)
        self._keep(blocks.with_session(self._manifest, entry))
        self._records[arm.name].append(found)
        if difference is not None:
            raise BadPair(f"session {session['id']} of arm {arm.name} cannot be compared: {difference}")

    def _difference(self, arm: Arm, found: Record) -> str | None:
        same, other = (
            [facts.of_record(each) for each in self._records[name]]
            for name in (arm.name, "b" if arm.name == "a" else "a")
        )
        text = comparable.obstacle(facts.of_record(found), arm.plan.cell.key, same, other)
        return text and f"{text}: go back to it, or name another study= to begin anew"

    def _progress(self, arm: Arm, finished: Finished) -> Progress:
        left = blocks.remaining(self._manifest, self._host_id, self._sessions)
        seconds = {name: [found["cost_s"]["total"] for found in found_] for name, found_ in self._records.items()}
        every = [second for each in seconds.values() for second in each]
        left_s = sum(count * mean(seconds[name] or every) for name, count in left.items()) if every else 0.0
        number = self._sessions - left[arm.name]
        return Progress(arm, number, self._sessions, sum(left.values()), left_s, finished)


def _readable(path: Path) -> Record | None:
    try:
        found = record.read(path)
    except BadRecord:
        return None
    return found if record.is_measured(found) else None
