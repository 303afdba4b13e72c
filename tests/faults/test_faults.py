"""Faults at seeded moments of real sessions: every finished session is in the store exactly once, and nothing is left.

`make test-faults` runs all points, and `make test` the cheap ones. FAULTS_SEED sets the seed, FAULTS_LOG names a file
that receives a line for each point.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.points import CHEAP, POINTS, SEED, Point
from tests.faults.scene import ROOT, Scene

SLOW = [pytest.mark.slow]
LOG = os.environ.get("FAULTS_LOG")
COMMIT = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()


def _case(point: Point) -> object:
    return pytest.param(point, id=str(point), marks=SLOW if str(point) in CHEAP else [*SLOW, pytest.mark.faults])


@pytest.mark.parametrize("point", [_case(point) for point in POINTS])
def test_every_finished_session_is_stored_once_and_nothing_is_left(
    point: Point, tmp_path: Path, empty_sqlite: Path, request: pytest.FixtureRequest
) -> None:
    values = [request.getfixturevalue(name) for name in point.kind.needs]
    scene = Scene(tmp_path)
    if not point.kind.makes_store:
        shutil.copy(empty_sqlite, tmp_path / "mlflow.db")
    line = {"kind": point.kind.name, "point": point.number, "seed": SEED, "commit": COMMIT, "held": False}
    began_s = time.monotonic()
    try:
        line["moment"], sessions = point.run(scene, *values)
        scene.check(sessions)
        line["sessions"] = len(scene.records())
        line["held"] = True
    finally:
        _log({**line, "seconds": round(time.monotonic() - began_s, 1)})


def _log(line: dict[str, object]) -> None:
    if LOG is not None:
        with open(LOG, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
