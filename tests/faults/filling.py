"""Faults: a disk that is full, or fills up, below the spool and below the store. The disk is a small tmpfs."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from runner.errors import DiskFull, StoreUnreachable
from tests.faults.killing import PHASES
from tests.faults.scene import CELL, Scene

KIB = 1024
LARGE = "64m"
Mount = Callable[[Path, int], None]
"""Mounts a disk of so many KiB at a folder until the trial has ended."""


def mounting(cleanup: ExitStack) -> Mount:
    """Returns a function that mounts disks until `cleanup` ends."""

    def mount(folder: Path, kib: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "decode-floor-faults", str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        cleanup.callback(subprocess.run, ["umount", "-l", folder], check=True)

    return mount


def enlarge(folder: Path) -> None:
    """Gives the disk more space."""
    subprocess.run(["mount", "-o", f"remount,size={LARGE}", folder], check=True, capture_output=True)


def fill(folder: Path) -> None:
    """Uses every byte that is left."""
    with open(folder / "ballast", "ab", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * KIB)
        except OSError:
            return


def spool_full(scene: Scene, rng: random.Random, mount: Mount) -> tuple[str, int]:
    """The spool's disk has too little space from the start: nothing is measured."""
    kib = rng.choice([4, 8, 16, 32])
    mount(scene.spool, kib)
    scene.run(*CELL, codes=(DiskFull.exit_code,))
    assert list(scene.spool.rglob("*.json")) == []
    enlarge(scene.spool)
    scene.run(*CELL)
    scene.import_spool()
    return f"{kib} KiB", 1


def spool_fills_up(scene: Scene, rng: random.Random, mount: Mount) -> tuple[str, int]:
    """The spool's disk fills up during the session: the record has its reserved space."""
    phase = rng.choice(["import", "load", "measure: wall"])
    delay_s = rng.uniform(0.0, PHASES[phase])
    mount(scene.spool, 512)
    command = scene.start(*CELL)
    command.await_line(f"] {phase}")
    time.sleep(delay_s)
    fill(scene.spool)
    assert command.end() == 0, command.text
    (scene.spool / "ballast").unlink()
    scene.import_spool()
    return f"{phase} + {delay_s:.2f} s", 1


def store_full(scene: Scene, rng: random.Random, mount: Mount) -> tuple[str, int]:
    """The store's disk is full when the session is stored: the spool keeps the record, and the import stores it."""
    disk = scene.folder / "disk"
    kib = rng.choice([4, 64, 300, 700])
    mount(disk, kib)
    scene.uri = f"sqlite:///{disk}/mlflow.db"
    scene.run(*CELL, codes=(DiskFull.exit_code, StoreUnreachable.exit_code))
    finished = len(scene.records())
    enlarge(disk)
    scene.import_spool()
    scene.run(*CELL)
    return f"{kib} KiB", finished + 1
