"""Faults: the host's clock is set during a session, as libfaketime shows it to every process of the command."""

from __future__ import annotations

import random
import time
from pathlib import Path

from runner.record.sessionrecord import MeasuredRecord
from tests.faults.killing import await_moment, write_study
from tests.faults.scene import Command, Scene

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
JUMPS_S = {"a day ahead": 86400, "an hour back": -3600, "ten years ahead": 315360000, "a minute back": -60}
SESSIONS = 2


def clock_set(scene: Scene, rng: random.Random, library: Path) -> tuple[str, int]:
    """The clock is set during a study: no session takes longer than it did, and none is lost or stored twice."""
    clock = scene.folder / "clock"
    _set(clock, 0)
    scene.variables |= {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    file = write_study(scene, SESSIONS)
    began_s = time.monotonic()
    command = scene.start("study", file)
    session, jump = rng.randint(1, SESSIONS), rng.choice([*JUMPS_S])
    moment = _await(command, scene, rng, session)
    _set(clock, JUMPS_S[jump])
    code = command.end()
    took_s = time.monotonic() - began_s
    assert code == 0, command.text
    records = list(scene.records().values())
    assert len(records) == SESSIONS
    for record in records:
        assert isinstance(record, MeasuredRecord)
        assert 0 <= record.cost_s.start < took_s
        assert abs((record.session.finished_ms - record.session.started_ms) / 1e3 - record.cost_s.total) < 1
    assert sum(record.cost_s.total for record in records if isinstance(record, MeasuredRecord)) < took_s
    # the clock is right again; libfaketime also makes some of the short sleeps of an import fail (EINVAL)
    scene.variables.clear()
    scene.run("study", file)
    scene.import_spool()
    return f"{jump} in session {session}, {moment}", SESSIONS


def _await(command: Command, scene: Scene, rng: random.Random, session: int) -> str:
    """Waits for a moment of the session, or for one between the start of the command and that of its worker."""
    if session == 1 and rng.random() < 0.4:
        delay_s = rng.uniform(0.0, 1.0)
        time.sleep(delay_s)
        return f"start + {delay_s:.2f} s"
    return await_moment(command, scene, rng, session)


def _set(clock: Path, seconds: int) -> None:
    made = clock.with_suffix(".new")
    made.write_text(f"{seconds:+d}\n")
    made.rename(clock)
