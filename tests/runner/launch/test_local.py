"""A worker of this host: what it sees of the card, the project and the person's environment."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from runner.cell.jsonform import to_json
from runner.job import Job
from runner.launch import process
from runner.launch.local import LocalWorker
from tests.support.processes import ROOT, Run, worker


@pytest.mark.medium
def test_the_worker_sees_only_its_card_and_the_project(run: Run, tmp_path: Path, tiny_job: Job) -> None:
    script = worker(
        tmp_path,
        """
        import os, runner
        from pathlib import Path
        print(os.environ["CUDA_VISIBLE_DEVICES"], Path(runner.__file__).parents[1], os.environ["HF_HUB_OFFLINE"])
        print(Path(os.path.realpath("/proc/self/cwd")).name.startswith("decode-floor-"))
        print(os.environ["DECODE_FLOOR_PARENT_PID"], os.getpgid(0) == os.getpid())
        """,
    )
    uuid = "a-uuid"
    job = replace(tiny_job, device=replace(tiny_job.device, kind="cuda", uuid=uuid))
    found = to_json(process.run_worker(job, 30.0, lambda *_: None, LocalWorker(job, script)))
    assert found["outcome"]["last_output"] == [f"{uuid} {ROOT} 1", "True", f"{os.getpid()} True"]
    assert run("import os; print(repr(os.environ['CUDA_VISIBLE_DEVICES']))")["outcome"]["last_output"] == ["''"]


def test_the_persons_own_module_path_follows_the_projects(tiny_job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    assert LocalWorker(tiny_job).environment()["PYTHONPATH"] == f"{ROOT}{os.pathsep}/mine"
    monkeypatch.delenv("PYTHONPATH")
    assert LocalWorker(tiny_job).environment()["PYTHONPATH"] == str(ROOT)


def test_it_is_the_worker_of_this_interpreter_and_its_exit_code_is_the_workers(tiny_job: Job) -> None:
    worker = LocalWorker(tiny_job)
    assert worker.command(Path("/x/job.json")) == [sys.executable, "-m", "runner.worker", "/x/job.json"]
    assert (worker.outcome(-9), worker.takes_input) == ((-9, None), False)
