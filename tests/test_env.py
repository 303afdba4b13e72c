"""Which pins `make env` takes when STACK is left out: those with CUDA where nvidia-smi lists a GPU that answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements"
# A Python that can tell its version and then makes no environment: the choice has been said by then.
PYTHON = """#!/bin/sh
case "$*" in
*version_info*) echo 3.11.9 ;;
*ensurepip*) exit 0 ;;
*) exit 1 ;;
esac
"""
LISTED = "GPU 1: NVIDIA L4 (UUID: GPU-22222222-aaaa-bbbb-cccc-000000000002)"
LOST = "Unable to determine the device handle for gpu 0000:3B:00.0: GPU is lost.  Reboot the system to recover this GPU"


TOOLS = ("bash", "cat", "dirname", "flock", "grep", "rm", "sha256sum", "sort")


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("lines", "code", "stack"),
    [
        ([LISTED], 0, "modern"),
        ([LOST, LISTED], 15, "modern"),
        ([LISTED] * 5000, 0, "modern"),  # more than a pipe holds: who stops reading early ends nvidia-smi by a signal
        ([LOST], 15, "cpu"),
        (["NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."], 9, "cpu"),
        ([], 0, "cpu"),
        (None, 0, "cpu"),  # there is no nvidia-smi
    ],
)
def test_the_stack_follows_from_a_gpu_that_answers(
    tmp_path: Path, lines: list[str] | None, code: int, stack: str
) -> None:
    (tmp_path / "requirements").mkdir()
    for file in ("env.sh", "cpu.txt", "modern.txt", "dev.txt"):
        shutil.copy(REQUIREMENTS / file, tmp_path / "requirements" / file)
    program(tmp_path / "python", PYTHON)
    if lines is not None:
        (tmp_path / "said").write_text("".join(f"{line}\n" for line in lines))
        program(tmp_path / "nvidia-smi", f"#!/bin/sh\ncat '{tmp_path}/said' || exit 99\nexit {code}\n")
    for tool in TOOLS:  # no other program of this machine's, which may have an nvidia-smi
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    environment = {**os.environ, "PATH": str(tmp_path)}
    command = [str(tmp_path / "bash"), str(tmp_path / "requirements" / "env.sh"), "", str(tmp_path / "python")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == f"Setting up .venv ({stack}, Python 3.11.9) …\n", done.stderr
    assert done.stderr == ""


@pytest.mark.medium
def test_a_look_changes_nothing_and_names_the_python(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    for file in ("env.sh", "cpu.txt", "modern.txt", "dev.txt"):
        shutil.copy(REQUIREMENTS / file, tmp_path / "requirements" / file)
    program(tmp_path / "python", PYTHON)
    script, python = str(tmp_path / "requirements" / "env.sh"), str(tmp_path / "python")

    def looked() -> str:
        done = subprocess.run(["bash", script, "--look", "cpu", python], capture_output=True, text=True, check=True)
        return done.stdout

    assert looked() == f"absent cpu 3.11.9 {python}\n"
    assert not (tmp_path / ".venv").exists()
    assert not (tmp_path / ".venv.lock").exists()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    program(tmp_path / ".venv" / "bin" / "python", PYTHON)
    hashed = subprocess.run(
        f"cat {tmp_path}/requirements/cpu.txt {tmp_path}/requirements/dev.txt | sha256sum",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    (tmp_path / ".venv" / ".ready").write_text(f"cpu 3.11.9 {tmp_path} {hashed.stdout.strip()}\n")
    assert looked() == "ready cpu 3.11.9 .venv/bin/python\n"
