"""Python and its packages: the interpreter, the environment and its pins, and the environments of `mlflow run`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from runner.doctor.finding import Finding, note, ok, problem
from runner.errors import DiskFull, MissingPackage
from runner.files import shipped

RUNS_ALL = sys.version_info[:2] >= (3, 11)
"""Whether this Python can import all of the runner. An older one runs the doctor alone."""
NEEDED = ("yaml",)
"""Packages that the checks of `inside` need."""
SUPPORTED = ((3, 11), (3, 12))
SCRIPT = shipped.PACKAGES / "requirements" / "env.sh"
PATIENCE_S = 10.0
CUDA_STACK, CPU_STACK = "modern", "cpu"
ENVIRONMENT_GB = {CUDA_STACK: (6.6, 6.6), CPU_STACK: (2.9, 6.6)}
"""Stack → disk space of `make env` as measured by du: the least and the most. On PyPI torch has the CUDA libraries; on
a machine without a GPU, PyTorch's own index has a build without them."""
CPU_BUILD = "PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu"
MEASURING = ("torch", "transformers", "mlflow")
"""Packages without which this interpreter measures or stores nothing."""
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)(\s*;.*)?$", re.MULTILINE)
NAMED = 3  # differing packages that a finding names
PYTHON, ENVIRONMENT, DISK, MLFLOW_RUN = "python", "environment", "disk", "mlflow run"


@dataclass(frozen=True)
class Venv:
    """The answer of `env.sh --look`: whether .venv is ready, its stack, and its Python or the one it would get."""

    is_ready: bool
    stack: str
    version: str
    program: str


def findings(has_gpu: bool) -> Iterator[Finding]:
    """Yields the findings on Python, packages, disk and `mlflow run`."""
    stack = CUDA_STACK if has_gpu else CPU_STACK
    if missing := missing_packages():
        yield from _without_packages(stack, missing)
    else:
        yield _python()
        yield _pins(stack)
        yield _disk()
    yield _mlflow_run()


def is_environment() -> bool:
    """Returns whether this interpreter can run all checks, and not only those on the standard library."""
    return RUNS_ALL and all(importlib.util.find_spec(name) is not None for name in NEEDED)


def missing_packages() -> list[str]:
    """Returns the packages that this interpreter needs for a measurement and lacks."""
    return [name for name in MEASURING if not RUNS_ALL or importlib.util.find_spec(name) is None]


def _version() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _python() -> Finding:
    if sys.version_info[:2] in SUPPORTED:
        return ok(PYTHON, f"{_version()} ({sys.executable})")
    return problem(PYTHON, MissingPackage, f"{_version()} has the packages, but is not supported", "use 3.11 or 3.12")


def _without_packages(stack: str, missing: list[str]) -> Iterator[Finding]:
    """Yields the findings of an interpreter that is no environment: what `make env` has made or would make."""
    if not SCRIPT.is_file():
        lacks = f"{sys.executable} lacks {', '.join(missing)}"
        yield _python()
        yield problem(ENVIRONMENT, MissingPackage, lacks, "activate an environment that has them")
        return
    try:
        venv = _look(stack)
    except ValueError as error:
        yield problem(PYTHON, MissingPackage, str(error), "run the doctor again when this is mended")
        return
    yield ok(PYTHON, f"{venv.version} ({venv.program}) for .venv; this one is {_version()}")
    if venv.is_ready:
        yield note(ENVIRONMENT, ".venv is ready; this interpreter is not in it", "source .venv/bin/activate")
        yield _disk()
    else:
        pins = f"requirements/{venv.stack}.txt"
        if os.access(shipped.PACKAGES, os.W_OK):
            yield note(ENVIRONMENT, f"no .venv with the pins of {pins} yet", _making(venv.stack))
        else:
            unwritable = f"no .venv, and none can be made: {shipped.PACKAGES} cannot be written"
            yield problem(ENVIRONMENT, MissingPackage, unwritable, "copy the checkout to a place that can be written")
        yield _disk(venv.stack)


def _making(stack: str) -> str:
    """Returns the command that makes the environment, and the disk space that it takes."""
    least, most = ENVIRONMENT_GB[stack]
    smaller = "" if least == most else f"; {CPU_BUILD} make env ({least} GB) leaves out torch's CUDA libraries"
    return f"make env ({most} GB){smaller}"


def _look(stack: str) -> Venv:
    """Returns what env.sh would do. Raises ValueError with its message if it would fail."""
    try:
        done = subprocess.run(
            ["bash", str(SCRIPT), "--look", stack],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"`bash {SCRIPT} --look` does not answer ({error})") from error
    words = done.stdout.split(maxsplit=3)
    if done.returncode or len(words) != 4:
        raise ValueError(done.stderr.strip() or f"`bash {SCRIPT} --look` ended with {done.returncode}")
    return Venv(words[0] == "ready", words[1], words[2], words[3].strip())


def _pins(stack: str) -> Finding:
    """Returns how this interpreter's packages differ from the stack's lock."""
    lock = SCRIPT.with_name(f"{stack}.txt")
    if not lock.is_file():
        return note(ENVIRONMENT, "this installation has no locks to compare the packages with")
    pins = dict(_pinned(lock))
    differing = [text for name, version in pins.items() if (text := _difference(name, version))]
    if not differing:
        return ok(ENVIRONMENT, f"all {len(pins)} packages are at the pins of requirements/{lock.name}")
    more = f" and {len(differing) - NAMED} more" if len(differing) > NAMED else ""
    return note(
        ENVIRONMENT,
        f"{len(differing)} of {len(pins)} packages differ from requirements/{lock.name}: "
        f"{', '.join(differing[:NAMED])}{more}; a record names its packages, and tables keep them apart",
        f"make env STACK={stack}",
    )


def _pinned(lock: Path) -> Iterator[tuple[str, str]]:
    for name, version, marker in PIN.findall(lock.read_text(encoding="utf-8")):
        if not marker:
            yield name, version


def _difference(name: str, pinned: str) -> str | None:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} is missing"
    # PyTorch's own builds append their kind, such as 2.13.0+cpu
    return None if version.partition("+")[0] == pinned else f"{name} {version} ({pinned})"


def _disk(stack: str | None = None) -> Finding:
    """Returns the free space, and whether the environment of a stack that is still to be made fits into it."""
    try:
        free_gb = shutil.disk_usage(shipped.PACKAGES).free / 1e9
    except OSError as error:
        return note(DISK, f"its free space is unknown ({error.strerror})")
    if stack is None:
        return ok(DISK, f"{free_gb:.0f} GB free")
    least, most = ENVIRONMENT_GB[stack]
    takes = f"an environment takes {most} GB" if least == most else f"an environment takes {least} to {most} GB"
    if free_gb < least:
        return problem(DISK, DiskFull, f"{free_gb:.1f} GB free, and {takes}", "free some space")
    return ok(DISK, f"{free_gb:.0f} GB free, {takes}")


def _mlflow_run() -> Finding:
    """Returns which --env-manager of `mlflow run` works: each needs a program on PATH."""
    if shutil.which("mlflow") is None:
        return note(MLFLOW_RUN, "there is no mlflow on PATH", "make env && source .venv/bin/activate")
    others = [f"--env-manager {name}" for name in ("uv", "local") if name == "local" or shutil.which(name)]
    if shutil.which("pyenv"):
        return ok(MLFLOW_RUN, f"works as it is, with pyenv; also with {' or '.join(others)}")
    return note(MLFLOW_RUN, "there is no pyenv, which it uses by default", f"add {' or '.join(others)}")
