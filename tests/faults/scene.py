"""One trial: a folder with a spool and a store, the commands that run there, and what must hold when all have ended."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from runner.record.sessionrecord import SessionRecord
from runner.record.verify import recompute
from runner.store.session_run import COMMITTED_TAG, SESSION_TAG, run_status
from tests.runner.store import contents

ROOT = Path(__file__).resolve().parents[2]
CRASH = ROOT / "tests" / "faults" / "crash"
CELL = ("cell", "--gpu", "cpu", "--model", "tiny", "--ctx", "17")
LONGEST_S = 240.0
GONE_WITHIN_S = 15.0
KEPT = ("ab.json", ".known-sessions", ".known-code")
"""Files of a spool that are no records: manifests, and what is kept for the next command."""
TOKEN = "FAULT_SCENE"
"""Variable that every process of a scene has."""


class Command:
    """A process of the project, in a process group of its own, and the lines that it has printed so far."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def await_line(self, text: str, times: int = 1) -> bool:
        """Waits until a text was printed so many times. Returns False if the command has ended before."""
        return self.await_true(lambda: sum(text in line for line in self.lines) >= times)

    def await_true(self, holds: Callable[[], bool]) -> bool:
        """Waits until a condition holds. Returns False if the command has ended before."""
        deadline = time.monotonic() + LONGEST_S
        while time.monotonic() < deadline:
            if holds():
                return True
            if self.process.poll() is not None:
                self._reader.join(GONE_WITHIN_S)
                return holds()
            time.sleep(0.01)
        raise AssertionError(f"waited in vain:\n{self.text}")

    def kill(self, whole_group: bool = False) -> None:
        """Kills the process, or its whole group, and waits for its end."""
        if self.process.poll() is None:
            (os.killpg if whole_group else os.kill)(self.process.pid, signal.SIGKILL)
        self.end()

    def end(self) -> int:
        """Waits for the end. Returns the exit code."""
        try:
            code = self.process.wait(LONGEST_S)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"does not end:\n{self.text}") from error
        self._reader.join(GONE_WITHIN_S)
        return code


@dataclass
class Scene:
    """The folder of one trial. `uri` is the store's, `variables` are added to the environment of each command."""

    folder: Path
    uri: str = ""
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.uri = self.uri or f"sqlite:///{self.folder}/mlflow.db"
        for name in ("tmp", "lock"):
            (self.folder / name).mkdir(exist_ok=True)

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    def environment(self, **variables: str) -> dict[str, str]:
        """Returns the variables of a command of this scene."""
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(CRASH))),
            "TMPDIR": str(self.folder / "tmp"),
            "DECODE_FLOOR_LOCK_DIR": str(self.folder / "lock"),
            "DECODE_FLOOR_ENGINE": "none",
            "MLFLOW_TRACKING_URI": self.uri,
            TOKEN: str(self.folder),
            **self.variables,
            **variables,
        }

    def start(self, *arguments: str, **variables: str) -> Command:
        """Starts `python -m runner …`."""
        return Command([sys.executable, "-m", "runner", *arguments], self.folder, self.environment(**variables))

    def run(self, *arguments: str, codes: tuple[int, ...] = (0,), **variables: str) -> str:
        """Runs a command to its end and returns its output. Fails if the exit code is none of `codes`."""
        command = self.start(*arguments, **variables)
        code = command.end()
        assert code in codes, f"{arguments} ended with {code}:\n{command.text}"
        return command.text

    def import_spool(self) -> str:
        """Imports the spool, even an empty one."""
        self.spool.mkdir(exist_ok=True)
        return self.run("import", "spool", codes=(0, 11))

    def records(self) -> dict[Path, SessionRecord]:
        """Returns every record of the spool. Fails for a file that is none, or whose numbers do not agree."""
        return {path: recompute.read_verified(path) for path in sorted(self.spool.rglob("*.json")) if _is_record(path)}

    def processes(self) -> list[str]:
        """Returns the command lines of the processes that the commands of this scene have left."""
        mark = f"{TOKEN}={self.folder}".encode()
        return [_command_line(pid) for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if _has(pid, mark)]

    def await_no_process(self) -> None:
        """Fails if a process is still there after GONE_WITHIN_S."""
        deadline = time.monotonic() + GONE_WITHIN_S
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == []

    def check(self, sessions: int) -> None:
        """Fails unless the store has exactly the sessions of the spool, each once and closed, `sessions` of them
        valid, and nothing else is left: no process, no lock, no open run, no partial file."""
        self.await_no_process()
        records = self.records()
        runs = contents.runs(self.uri)
        stored = [run.data.tags[SESSION_TAG] for run in runs if COMMITTED_TAG in run.data.tags]
        assert Counter(stored) == {record.session.id: 1 for record in records.values()}
        statuses = {record.session.id: run_status(record) for record in records.values()}
        for run in runs:
            session = run.data.tags.get(SESSION_TAG)
            if session in statuses:
                assert run.info.status == statuses[session], (run.info.run_id, run.data.tags)
            assert run.info.status not in ("RUNNING", "SCHEDULED"), (run.info.run_id, run.data.tags)
        assert sum(record.valid for record in records.values()) == sessions
        assert self._left_files(records) == []
        assert self._held_locks() == []

    def _left_files(self, records: dict[Path, SessionRecord]) -> list[str]:
        """Returns the files of the spool that are neither a record nor kept for one."""
        kept = {*records, *(path.with_name(f"{path.name}.run-id") for path in records)}
        files = [path for path in self.spool.rglob("*") if path.is_file() and path not in kept]
        return [str(path) for path in files if path.name not in KEPT and ".studies" not in path.parts]

    def _held_locks(self) -> list[str]:
        return [str(path) for path in self.folder.rglob("*.lock") if not _is_free(path)]


def _is_record(path: Path) -> bool:
    return path.name != "ab.json" and not any(part.startswith(".") for part in path.parts[1:] if part != "..")


def _has(pid: int, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _command_line(pid: int) -> str:
    try:
        return f"{pid} {Path(f'/proc/{pid}/cmdline').read_text().replace(chr(0), ' ')}"
    except OSError:
        return f"{pid} ended"


def _is_free(path: Path) -> bool:
    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def worker_of(scene: Scene) -> int | None:
    """Returns the pid of the worker that runs now."""
    found = [re.match(r"(\d+) .* -m runner\.worker ", line) for line in scene.processes()]
    return next((int(match[1]) for match in found if match), None)
