"""A program `nvidia-smi` at the edge of its command line, which prints lines as driver 580 does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

UUID = "GPU-11111111-aaaa-bbbb-cccc-000000000001"
L4 = f"0, {UUID}, NVIDIA L4, 23034, 580.65.06, [N/A]"
LOST = "Unable to determine the device handle for gpu 0000:3B:00.0: GPU is lost.  Reboot the system to recover this GPU"
SCRIPT = """#!/bin/sh
case "$1" in
--query-gpu=*) /bin/cat '{folder}/gpus'; exit {code} ;;
--query-compute-apps=*) /bin/cat '{folder}/users' ;;
-L) echo 'GPU 0: NVIDIA L4 (UUID: {uuid})' ;;
esac
"""


def install(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *lines: str, users: tuple[str, ...] = (), code: int = 0
) -> None:
    """Puts the program first on PATH, with the lines that it prints of cards and of the processes on them."""
    (folder / "gpus").write_text("".join(f"{line}\n" for line in lines))
    (folder / "users").write_text("".join(f"{line}\n" for line in users))
    put(monkeypatch, folder, SCRIPT.format(folder=folder, code=code, uuid=UUID))


def put(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Puts a script in the program's place, first on PATH."""
    (folder / "nvidia-smi").write_text(script)
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
