"""Workers that are small scripts, run to their record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.cell.jsonform import to_json
from runner.job import Job
from runner.launch import process
from runner.launch.local import LocalWorker
from tests.support.processes import Run, worker


@pytest.fixture
def run(tmp_path: Path, tiny_job: Job) -> Run:
    """Run a worker script to its record; `phases` collects what was announced."""

    def run_script(script: str, timeout_s: float = 30.0, phases: list[str] | None = None) -> dict[str, Any]:
        Path(tiny_job.record_path).unlink(missing_ok=True)
        command = worker(tmp_path, script)
        record: dict[str, Any] = to_json(
            process.run_worker(
                tiny_job, timeout_s, lambda text, _: (phases or []).append(text), LocalWorker(tiny_job, command)
            )
        )
        return record

    return run_script
