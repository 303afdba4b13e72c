"""Faults: processes that end without notice, by SIGKILL, at seeded moments."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from runner.errors import WorkerFailed
from tests.faults.scene import CELL, CRASH, Command, Scene, worker_of
from tests.support import mlflowruns

PHASES = {"import": 4.0, "load": 0.3, "prefill": 0.1, "measure: wall": 0.2, "verify: revisit": 0.3}
"""Phase of a session → the longest delay after its start, in seconds."""
STUDY = """\
name: faults
sessions: {sessions}
matrix: {{gpu: cpu, model: tiny, ctx: 17}}
"""
RECORD_WRITES = 3
"""Writes of a worker in the spool: it renames the reserved file, opens it, and renames it to the record's name."""
STORING = "storing"
STORING_S = 5.0


def write_study(scene: Scene, sessions: int) -> str:
    """Writes a study of so many sessions. Returns its file's name."""
    (scene.folder / "faults.yaml").write_text(STUDY.format(sessions=sessions))
    return "faults.yaml"


def await_moment(command: Command, scene: Scene, rng: random.Random, session: int = 1) -> str:
    """Waits for a random moment of the command's n-th session. Returns it in words."""
    phase = rng.choice([*PHASES, STORING, STORING])
    if phase == STORING:
        delay_s = rng.uniform(0.0, STORING_S)
        command.await_true(lambda: len(list(scene.spool.glob("*.json"))) >= session)
    else:
        delay_s = rng.uniform(0.0, PHASES[phase])
        times = session * (2 if phase == "verify: revisit" else 1)
        command.await_line(f"] {phase}" if session == 1 else phase, times)
    time.sleep(delay_s)
    return f"{phase} + {delay_s:.2f} s"


def worker(scene: Scene, rng: random.Random) -> tuple[str, int]:
    """The worker is killed: the session is kept as failed, and the same command measures."""
    command = scene.start(*CELL)
    phase = rng.choice([*PHASES])
    delay_s = rng.uniform(0.0, PHASES[phase])
    command.await_line(f"] {phase}")
    time.sleep(delay_s)
    pid = worker_of(scene)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    code = command.end()
    assert code in (0, WorkerFailed.exit_code), command.text
    scene.run(*CELL)
    return f"{phase} + {delay_s:.2f} s", 2 if code == 0 else 1


def parent(scene: Scene, rng: random.Random) -> tuple[str, int]:
    """The command is killed: the import keeps what is measured, and the same command measures."""
    command = scene.start(*CELL)
    moment = await_moment(command, scene, rng)
    command.kill()
    scene.await_no_process()
    finished = len(scene.records())
    scene.run(*CELL)
    scene.import_spool()
    return moment, finished + 1


def study(scene: Scene, rng: random.Random) -> tuple[str, int]:
    """A study is killed: the same command measures what is missing."""
    sessions = 2
    file = write_study(scene, sessions)
    command = scene.start("study", file)
    session = rng.randint(1, sessions)
    moment = await_moment(command, scene, rng, session)
    command.kill()
    scene.await_no_process()
    scene.run("study", file)
    scene.import_spool()
    return f"session {session}, {moment}", sessions


def _mlflow_run(scene: Scene) -> Command:
    mlflowruns.copied(scene.folder)
    command = mlflowruns.command("cell", "gpu=cpu", "model=tiny", "ctx=17")
    return Command(command, scene.folder, scene.environment(PYTHONPATH=str(CRASH)))


def _killed_run(scene: Scene, rng: random.Random, kill: Callable[[Command], None]) -> tuple[str, int]:
    """`mlflow run` has processes killed: the import stores what is measured, and a cell measures."""
    command = _mlflow_run(scene)
    moment = await_moment(command, scene, rng)
    kill(command)
    scene.await_no_process()
    finished = sum(record.valid for record in scene.records().values())
    scene.import_spool()
    scene.run(*CELL)
    return moment, finished + 1


def mlflow(scene: Scene, rng: random.Random) -> tuple[str, int]:
    """MLflow's process is killed: the entry stops its worker and closes the run."""
    return _killed_run(scene, rng, Command.kill)


def whole_run(scene: Scene, rng: random.Random) -> tuple[str, int]:
    """MLflow, the entry and the worker are killed together, as by a power failure: the import closes the run."""

    def kill(command: Command) -> None:
        for line in scene.processes():
            with suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)
        command.kill()

    return _killed_run(scene, rng, kill)


def entry(scene: Scene, rng: random.Random) -> tuple[str, int]:
    """The entry of `mlflow run` is killed: its worker ends with it, and the import explains the run."""

    def kill(command: Command) -> None:
        for line in scene.processes():
            if " -m runner cell " in line and "bash" not in line:
                os.kill(int(line.split()[0]), signal.SIGKILL)
        command.end()

    return _killed_run(scene, rng, kill)


def crashing(scene: Scene, at: int, *arguments: str) -> int:
    """Runs a command that is killed at its n-th write. Returns how many it has made; 0 if it was killed."""
    count = scene.folder / "count"
    count.unlink(missing_ok=True)
    command = scene.start(*arguments, **_at_write(scene, "runner", at), FAULT_COUNT=str(count))
    code = command.end()
    assert at or code == 0, command.text
    return int(count.read_text()) if count.exists() else 0


def _at_write(scene: Scene, module: str, at: int) -> dict[str, str]:
    """Returns the variables that kill a program of this module at its n-th write."""
    return {"FAULT_MODULE": module, "FAULT_FOLDER": str(scene.folder), "FAULT_AT": str(at)}


def worker_at_write(scene: Scene, rng: random.Random) -> tuple[str, int]:
    """The worker is killed at one of its last writes, with which the record comes into the spool."""
    at = rng.randint(1, RECORD_WRITES)
    spool = {**_at_write(scene, "runner.worker", at), "FAULT_FOLDER": str(scene.spool)}
    code = scene.start(*CELL, **spool).end()
    scene.run(*CELL)
    return f"write {at}", 2 if code == 0 else 1


def import_at_write(scene: Scene, rng: random.Random, records: Path, writes: int) -> tuple[str, int]:
    """An import into a store that exists is killed at a write. `writes` is how many it makes."""
    prepare_import(scene, records)
    return first_import_at_write(scene, rng, records, writes)


def first_import_at_write(scene: Scene, rng: random.Random, records: Path, writes: int) -> tuple[str, int]:
    """An import that makes its store is killed at a write. `writes` is how many it makes."""
    at = rng.randint(1, writes)
    shutil.copytree(records, scene.spool, dirs_exist_ok=True)
    crashing(scene, at, "import", "spool")
    scene.await_no_process()
    scene.import_spool()
    return f"write {at} of {writes}", len(list(records.glob("*.json")))


def prepare_import(scene: Scene, records: Path) -> None:
    """Makes the store, with the first record of the folder."""
    (scene.folder / "other").mkdir()
    shutil.copy(min(records.glob("*.json")), scene.folder / "other")
    scene.run("import", str(scene.folder / "other"))


def command_at_write(scene: Scene, rng: random.Random, writes: int) -> tuple[str, int]:
    """A command that measures is killed at a write. `writes` is how many its second session makes."""
    scene.run(*CELL)
    at = rng.randint(1, writes)
    crashing(scene, at, *CELL)
    scene.await_no_process()
    scene.import_spool()
    scene.run(*CELL)
    return f"write {at} of {writes}", len(scene.records())
