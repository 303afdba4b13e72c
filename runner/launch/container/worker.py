"""A worker in a container: the engine's command line, and how the container is ended.

The container sees the job's folder, the spool, the weights and the host lock's folder, each at its own path. It sees
nothing else of the host, has no network, and cannot write its root. The command line names its variables without their
values. The container ends when its standard input does, which the engine's client closes when this process ends for any
reason.
"""

from __future__ import annotations

import csv
import io
import os
import resource
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.errors import BadValue
from runner.job import Job
from runner.launch.container.engine import DOCKER, Engine, Image
from runner.launch.container.user import User
from runner.machine import host, hostlock
from runner.processes import signals
from runner.processes.parentwatch import INPUT_VARIABLE
from runner.runtimes import _compilecache

NAME_PREFIX = "decode-floor-"
TEMPORARY = "/tmp"  # in the container, where it is HOME
# folders of the image: a mount over or inside one of them would replace its files
IMAGE_FOLDERS = (
    "/bin",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/opt/decode-floor",
    "/opt/venv",
    "/proc",
    "/sbin",
    "/sys",
    "/usr",
)
FILES_LIMIT, PROCESSES_LIMIT = 16384, 16384
MACHINE_ID = Path("/etc/machine-id")
# the number of threads of a step; a container gets no other variables of the caller
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
ENGINE_FAILED = (125, 126, 127)  # the engine's own exit codes; codes above 128 are 128 plus a signal's number


@dataclass(frozen=True)
class ContainedWorker:
    """A worker in a container; see `runner.launch.local.Worker`."""

    engine: Engine
    image: Image
    user: User
    job: Job
    takes_input = True

    @property
    def name(self) -> str:
        """Returns the container's name."""
        return f"{NAME_PREFIX}{self.job.session.id}"

    def command(self, job_file: Path) -> list[str]:
        names = (*self._variables(), *_thread_variables())
        return [
            *(self.engine.program, "run", "--rm", "--interactive", "--pull", "never", "--name", self.name),
            "--no-healthcheck",  # it would run during timed windows
            *("--network", "none", "--read-only", "--tmpfs", f"{TEMPORARY}:rw,exec,nosuid,nodev,mode=1777"),
            *("--cap-drop", "all", "--security-opt", "no-new-privileges", "--security-opt", "label=disable"),
            *("--user", self.user.ids, *self.user.namespace),
            *self._limits(),
            *self._gpu(),
            *(option for path, mode in self._mounts(job_file) for option in ("--mount", _bind(path, mode))),
            *(option for name in names for option in ("--env", name)),
            *("--workdir", TEMPORARY, self.image.digest, str(job_file)),
        ]

    def environment(self) -> Mapping[str, str]:
        """Returns the client's variables: the caller's own, and those that the container gets."""
        return {**os.environ, **self._variables()}

    def end(self) -> None:
        """Kills and removes the container, whether or not the client still runs."""
        self.engine.remove(self.name)

    def outcome(self, code: int) -> tuple[int | None, str | None]:
        """Returns the worker's exit code, negative for a signal as in `subprocess`, or the engine's fault."""
        if code in ENGINE_FAILED:
            return None, f"{self.engine.name} could not run the container of {self.image.name}"
        if code < 0:
            return None, f"the client of {self.engine.name} was killed by {signals.name_of(-code)}"
        is_signal = code > 128 and code - 128 in {number.value for number in signal.Signals}
        return (128 - code if is_signal else code), None

    def _variables(self) -> dict[str, str]:
        return {
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",
            "CUDA_VISIBLE_DEVICES": self.job.device.uuid or "",
            "HF_HUB_OFFLINE": "1",
            INPUT_VARIABLE: "1",
            hostlock.FOLDER_VARIABLE: os.path.realpath(hostlock.folder()),
            **({"XDG_CACHE_HOME": str(cache)} if (cache := self._warm_cache()) else {}),
        }

    def _warm_cache(self) -> Path | None:
        return _compilecache.cache_home() if _compilecache.is_warm(self.job) else None

    def _limits(self) -> Iterator[str]:
        memory = str(host.available_memory_bytes())
        yield from ("--memory", memory, "--memory-swap", memory, "--pids-limit", str(PROCESSES_LIMIT))
        for limit, kind, maximum in (
            ("nofile", resource.RLIMIT_NOFILE, FILES_LIMIT),
            ("nproc", resource.RLIMIT_NPROC, PROCESSES_LIMIT),
        ):
            # explicit, because an engine's default may exceed what it may set
            hard = resource.getrlimit(kind)[1]
            value = maximum if hard == resource.RLIM_INFINITY else min(hard, maximum)
            yield from ("--ulimit", f"{limit}={value}:{value}")

    def _gpu(self) -> tuple[str, ...]:
        uuid = self.job.device.uuid
        if uuid is None:
            return ()
        return ("--gpus", f"device={uuid}") if self.engine.name == DOCKER else ("--device", f"nvidia.com/gpu={uuid}")

    def _mounts(self, job_file: Path) -> Iterator[tuple[Path, str]]:
        """Yields each path with its mode. Raises BadValue for a folder that cannot be mounted."""
        for path, mode in self._folders(job_file):
            _check_place(path)
            yield path, mode
        if os.path.isfile(MACHINE_ID):
            yield MACHINE_ID, "ro"

    def _folders(self, job_file: Path) -> Iterator[tuple[Path, str]]:
        yield job_file.parent, "rw"
        yield Path(self.job.record_path).parent, "rw"
        if os.path.isdir(hostlock.folder()):
            yield Path(os.path.realpath(hostlock.folder())), "rw"
        if self.job.checkpoint is not None:
            yield from ((folder, "ro") for folder in checkpoint_folders(Path(self.job.checkpoint)))
        if _compilecache.is_warm(self.job):
            yield _compilecache.warm_folder().parent, "rw"


def _thread_variables() -> tuple[str, ...]:
    return tuple(name for name in THREADS if name in os.environ)


def checkpoint_folders(checkpoint: Path) -> tuple[Path, ...]:
    """Returns the checkpoint's folder and the folders that its links lead to, as in the hub's cache.

    Broken links are ignored.
    """
    files = sorted(file for file in checkpoint.iterdir() if os.path.isfile(file))
    return tuple(dict.fromkeys((checkpoint, *(target for file in files for target in _targets(file)))))


def _targets(file: Path) -> Iterator[Path]:
    """Yields the folder of each link target on the way to the file itself."""
    while file.is_symlink():
        file = Path(os.path.normpath(file.parent / os.readlink(file)))
        yield file.parent


def _bind(path: Path, mode: str) -> str:
    """Returns the `--mount` option, which is a CSV line: a path may contain a comma."""
    line = io.StringIO()
    fields = ["type=bind", f"source={path}", f"target={path}", *(["readonly"] if mode == "ro" else [])]
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


def _check_place(path: Path) -> None:
    """Raises BadValue for a folder that would hide the image's files, or lie among them."""
    hidden = [
        folder
        for folder in map(Path, IMAGE_FOLDERS)
        if folder == path or folder in path.parents or path in folder.parents
    ]
    if hidden or path == Path(TEMPORARY):
        folder = hidden[0] if hidden else TEMPORARY
        raise BadValue(
            f"{path} cannot be mounted into a container, which has its own {folder}: use another folder or where=here"
        )
