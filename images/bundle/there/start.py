"""Starts the runner on the host of an unpacked bundle: checks the host, makes the environment, becomes the runner.

`run` starts it with the bundle's Python, and it uses only the standard library. A missing requirement of all commands
is an error. A missing requirement of some cells (a GPU that the kernels were compiled for, a driver) is a warning:
other cells are measured, and such a cell ends with the runner's own error.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import importlib.metadata
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SITE, WHEELS, VENV = HERE / "site", HERE / "wheels", HERE / "venv"
VENV_PER_WHEEL_BYTE = 5  # the size of a stack's wheels after installation
ERROR, WARNING, NOTE = "error", "warning", "note"
CHECK = "check"
KERNELS = "--kernels"
NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader")
GPU_LINE = re.compile(r"(?P<name>[^,]+), *(?P<capability>\d+\.\d+), *(?P<driver>[\d.]+)")


class Wrong(Exception):
    """The reason that the bundle cannot run here, in one line."""


@dataclass(frozen=True)
class Finding:
    """The result of one check of the host.

    `level` counts if it is not `ok`. Notes are printed only by `check`.
    """

    subject: str
    has: str
    needs: str
    ok: bool
    level: str = ERROR

    def __str__(self) -> str:
        if self.ok:
            return f"ok: {self.subject} {self.has}"
        return f"{self.level}: {self.subject}: this host has {self.has}, this bundle needs {self.needs}"


def findings(manifest: dict[str, Any]) -> Iterator[Finding]:
    """Yields the findings about the host, without changing it."""
    yield _python(manifest)
    yield _platform(manifest)
    if manifest["glibc"]:
        yield _glibc(manifest["glibc"])
    if manifest["host_packages"]:
        yield from _torch(manifest)
        yield from (_package(name, version) for name, version in manifest["host_packages"].items() if name != "torch")
    yield from _gpus(manifest)


def _python(manifest: dict[str, Any]) -> Finding:
    has = f"{platform.python_implementation()} {platform.python_version()}"
    needs = manifest["python"].replace("cp3", "CPython 3.")
    return Finding("Python", has, needs, has.startswith(f"{needs}."))


def _platform(manifest: dict[str, Any]) -> Finding:
    has = sysconfig.get_platform()
    return Finding("platform", has, manifest["platform"], has == manifest["platform"])


def _glibc(needs: str) -> Finding:
    """Returns the finding. Another C library has no glibc version."""
    try:
        has = (os.confstr("CS_GNU_LIBC_VERSION") or "").removeprefix("glibc ")
    except (OSError, ValueError):
        has = ""
    return Finding("glibc", has or "none", f"{needs} or newer", bool(has) and _numbers(has) >= _numbers(needs))


def _torch(manifest: dict[str, Any]) -> Iterator[Finding]:
    """Yields findings of torch's version, CUDA and C++ ABI, which must be those of the kernels' build.

    A bundle without GPU code accepts any CUDA.
    """
    needs = manifest["torch"]
    try:
        torch = importlib.import_module("torch")
    except Exception as error:  # a damaged torch may raise anything
        yield Finding("torch", f"none that can be imported ({_one_line(error)})", needs, ok=False)
        return
    yield Finding("torch", torch.__version__, needs, torch.__version__.split("+")[0] == needs)
    if manifest["cuda"]:
        cuda = torch.version.cuda
        yield Finding("torch's CUDA", cuda or "none (a CPU build)", manifest["cuda"], cuda == manifest["cuda"])
    has, required = bool(torch.compiled_with_cxx11_abi()), manifest["cxx11_abi"]
    yield Finding("torch's C++ ABI", _abi(has), _abi(required), has == required)


def _abi(cxx11: bool) -> str:
    return "C++11 (_GLIBCXX_USE_CXX11_ABI=1)" if cxx11 else "the old one (_GLIBCXX_USE_CXX11_ABI=0)"


def _package(name: str, needs: str) -> Finding:
    """Returns the finding of a package: the major version must match, and for 0.x the minor one."""
    try:
        has = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "none", _series(needs), ok=False)
    return Finding(name, has, _series(needs), _series(has) == _series(needs))


def _series(version: str) -> str:
    major, *rest = version.split(".")
    return f"{major}.x" if major != "0" or not rest else f"0.{rest[0]}.x"


def _gpus(manifest: dict[str, Any]) -> Iterator[Finding]:
    """Yields for each GPU whether the kernels' machine code runs on it, and its driver.

    Then yields other lines of nvidia-smi, such as a lost card, and a note if it lists no GPU.
    """
    compiled = manifest["capabilities"]
    if not compiled:
        return
    needs = f"{' or '.join(compiled)} (or a later one of the same major version)"
    lines = _nvidia_smi_lines()
    gpus = [match.groups() for line in lines if (match := GPU_LINE.fullmatch(line))]
    for line in (line for line in lines if not GPU_LINE.fullmatch(line)):
        yield Finding("GPU", f"nvidia-smi saying: {line}", f"compute capability {needs}", ok=False, level=NOTE)
    if not gpus:
        yield Finding("GPU", "none that nvidia-smi lists", f"compute capability {needs}", ok=False, level=NOTE)
    for name, capability, driver in gpus:
        ok = any(_runs(capability, target) for target in compiled)
        has = f"{name} of compute capability {capability}"
        needs_kernels = f"{needs} for its compiled kernels; bf16 cells run all the same"
        yield Finding("GPU", has, needs_kernels, ok, WARNING)
        if manifest["min_driver"]:
            new_enough = _numbers(driver)[:1] >= [manifest["min_driver"]]
            yield Finding("driver", driver, f"{manifest['min_driver']} or newer", new_enough, WARNING)


def _nvidia_smi_lines() -> list[str]:
    """Returns the lines of nvidia-smi, which fails if a card is lost, but still lists the others."""
    try:
        done = subprocess.run(NVIDIA_SMI, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _runs(capability: str, compiled: str) -> bool:
    has, target = _numbers(capability), _numbers(compiled)
    return has[:1] == target[:1] and has >= target


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def python_for(manifest: dict[str, Any]) -> str:
    """Returns the interpreter with the packages: the host's, or the environment's, made if missing. Raises Wrong."""
    if manifest["base"] != "full":
        return sys.executable
    python, stamp = VENV / "bin" / "python", VENV / ".ready"
    lock = (HERE / "requirements.txt").read_bytes()
    expected = f"{sys.executable} {hashlib.sha256(lock).hexdigest()}\n"
    if not _contains(stamp, expected):
        with _locked():
            if not _contains(stamp, expected):  # another process may have made it meanwhile
                _make_environment(python)
                stamp.write_text(expected, encoding="utf-8")
    return str(python)


def _contains(file: Path, content: str) -> bool:
    try:
        return file.read_text(encoding="utf-8") == content
    except OSError:
        return False


@contextmanager
def _locked() -> Iterator[None]:
    """Holds a lock while one process makes the environment. Raises Wrong if the folder is not writable."""
    try:
        opened = (HERE / ".venv.lock").open("w")
    except OSError as error:
        raise Wrong(
            f"{HERE} cannot be written to ({error.strerror}), and this bundle makes a virtual environment of "
            f"{_environment_bytes() / 1e9:.1f} GB in it once: unpack it in a writable folder, or run it once as a user "
            "who can write there"
        ) from error
    with opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def _environment_bytes() -> float:
    return VENV_PER_WHEEL_BYTE * sum(wheel.stat().st_size for wheel in WHEELS.glob("*.whl"))


def _make_environment(python: Path) -> None:
    """Makes the virtual environment from the wheels, without an index. Raises Wrong."""
    needed, free = _environment_bytes(), shutil.disk_usage(HERE).free
    if free < needed:
        raise Wrong(
            f"{HERE} has {free / 1e9:.1f} GB free, its virtual environment needs about {needed / 1e9:.1f} GB: free some"
        )
    print(f"Making {VENV} once, from the wheels of this bundle …", file=sys.stderr, flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    _must(
        [sys.executable, "-m", "venv", str(VENV)],
        "the virtual environment cannot be made (install the venv module; Debian: python3-venv)",
    )
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    install += ["--no-index", "--no-deps", "--no-cache-dir", "--find-links", str(WHEELS), "--require-hashes"]
    _must(
        [*install, "--requirement", str(HERE / "requirements.txt")],
        "the wheels cannot be installed (`./run check` lists damaged files)",
    )


def _must(command: Sequence[str], failure: str) -> None:
    """Runs a command without the host's pip settings. Raises Wrong if it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    environment["PIP_CONFIG_FILE"] = os.devnull
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
        errors = [line for line in lines if line.startswith("ERROR:")]
        raise Wrong(f"{failure}: {(errors or lines)[-1].removeprefix('ERROR: ')}")


def environment() -> dict[str, str]:
    """Returns the runner's variables. Raises Wrong."""
    if os.pathsep in str(HERE):
        raise Wrong(f"The path {HERE} has a colon, which no module path can have: unpack the bundle elsewhere")
    variables = dict(os.environ)
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), str(SITE), variables.get("PYTHONPATH", "")]))
    # All files of a bundle have the same time, so Python could use a compiled module of an older bundle that was
    # unpacked in the same folder.
    variables["PYTHONDONTWRITEBYTECODE"] = "1"
    # otherwise `where=auto` would prefer a container to the bundle
    variables.setdefault("DECODE_FLOOR_ENGINE", "none")
    if any(SITE.glob("lib*.so*")):
        variables["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, [str(SITE), variables.get("LD_LIBRARY_PATH", "")]))
    return variables


def damaged(manifest: dict[str, Any]) -> list[str]:
    """Returns the files that are missing or differ from the manifest."""
    return [name for name, sha256 in manifest["files"].items() if _sha256(HERE / name) != sha256]


def _sha256(file: Path) -> str | None:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return None


def print_kernels(stack: str) -> None:
    """Prints which kernels' packages can be imported in the runner's environment, without launching anything.

    Output of the packages during import is dropped.
    """
    output = os.fdopen(os.dup(1), "w", buffering=1, encoding=sys.stdout.encoding, errors="replace")
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)

    import torch

    from runner import registry

    kernels = registry.kernel_declarations()
    for library in sorted({name for kernel in kernels for name in kernel.installation.operators}):
        if (file := SITE / library).exists() and torch.version.cuda:
            torch.ops.load_library(str(file))
            print(f"ok: loaded {library}", file=output)
    for declared in kernels:
        if "cpu" in declared.devices if stack == "cpu" else stack in declared.stacks:
            print(_kernel_line(declared.name, declared.module), file=output)


def _kernel_line(name: str, module: str | None) -> str:
    try:
        if module is not None:
            importlib.import_module(module)
    except Exception as error:  # a package with missing dependencies may raise anything
        return f"warning: kernel={name} cannot be used here: importing {module}: {_one_line(error)}"
    return f"ok: kernel={name}"


def main(arguments: Sequence[str]) -> None:
    """Becomes the runner. Raises Wrong, or SystemExit after the errors were printed."""
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    if arguments[:1] == [KERNELS]:
        print_kernels(manifest["stack"])
        return
    checking = list(arguments) == [CHECK]
    results = list(findings(manifest))
    for finding in results:
        if checking or (not finding.ok and finding.level != NOTE):
            print(finding, file=sys.stdout if checking else sys.stderr, flush=True)
    if checking and (changed := damaged(manifest)):
        raise Wrong(
            f"{len(changed)} of {len(manifest['files'])} files are not as in the archive, the first: {changed[0]}: "
            "unpack the archive again"
        )
    if any(not finding.ok and finding.level == ERROR for finding in results):
        raise SystemExit(1)
    variables = environment()
    python = python_for(manifest)
    program = [str(HERE / "start.py"), KERNELS] if checking else ["-m", "runner", *arguments]
    os.execve(python, [python, "-P", *program], variables)


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):  # None if closed
        sys.stdout.reconfigure(errors="replace")  # characters that the terminal's encoding lacks
    try:
        main(sys.argv[1:])
    except Wrong as wrong:
        sys.exit(f"error: {wrong}")
    except BrokenPipeError:  # the reader closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)
    except OSError as error:
        advice = "unpack the archive again in a folder that you can read and write"
        sys.exit(f"error: this bundle cannot be used: {error}: {advice}")
