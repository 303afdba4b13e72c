"""The plan of an A/B as the lines that `ab` prints before its first session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from runner.ab import blocks, manifest
from runner.ab.arms import Arm, Pair, value_words
from runner.ab.manifest import Manifest
from runner.counts import counted
from runner.display import duration
from runner.layout import line
from runner.machine import host
from runner.plan.request import NONE
from runner.record import expected


def lines(pair: Pair, current: Manifest, sessions: int, spool: Path, width: int) -> Iterator[str]:
    """Yields the arms, the sessions that are missing in the current manifest, their expected time and their folder."""
    folder = manifest.folder_of(spool, current)
    missing = blocks.remaining(current, host.host_id(pair.a.plan.device.uuid), sessions)
    yield current.heading
    yield from _arms(pair, width)
    for name, (in_a, in_b) in pair.implied.items():
        yield from line("implied", f"{name}: {value_words(in_a)} in a, {value_words(in_b)} in b", width)
    yield from line("sessions", _sessions(current, sessions, sum(missing.values())), width)
    if any(missing.values()):
        yield from line("time", _time(pair, missing, (folder, spool)), width)
    yield from line("folder", str(folder), width)


def _arms(pair: Pair, width: int) -> Iterator[str]:
    if pair.field == NONE:
        yield from line("arms", f"both {pair.a.plan.cell.title}: their ratio shows the noise of this host", width)
        return
    for arm in pair.arms:
        yield from line(f"arm {arm.name}", f"{pair.field}={arm.value}: {arm.plan.cell.title}", width)


def _sessions(current: Manifest, sessions: int, missing: int) -> str:
    planned = f"{sessions} of each arm, alternating, each in a fresh process"
    return f"{planned}; {missing} of {2 * sessions} are missing" if current.sessions else planned


def _time(pair: Pair, missing: dict[str, int], folders: tuple[Path, Path]) -> str:
    """Returns the expected time of the missing sessions, if a session of each arm was measured before."""
    known = {arm.name: _expected_s(arm, folders) for arm in pair.arms if missing[arm.name]}
    total_s = sum(missing[name] * seconds for name, seconds in known.items() if seconds is not None)
    if None in known.values():
        return "not known before the first session of each arm"
    count = counted(sum(missing.values()), "session")
    return f"about {duration(total_s)} for {count}, by the last sessions of these cells"


def _expected_s(arm: Arm, folders: tuple[Path, Path]) -> float | None:
    found = (expected.expected_s(folder, arm.plan.cell, arm.plan.protocol, arm.plan.energy) for folder in folders)
    return next((seconds for seconds in found if seconds is not None), None)
