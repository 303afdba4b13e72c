"""Faults: eight writers of one SQLite store at once, from its first creation on."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from tests.faults.scene import CELL, Scene

WRITERS = 8


def importers(scene: Scene, rng: random.Random, records: Path) -> tuple[str, int]:
    """Eight imports at once into a store that does not exist, each of four records, of which others import some, too.

    Two of them are killed meanwhile, and start again.
    """
    files = sorted(records.rglob("*.json"))
    shares = [rng.sample(files, 4) for _ in range(WRITERS)]
    for number, share in enumerate(shares):
        (scene.folder / f"spool{number}").mkdir()
        for path in share:
            shutil.copy(path, scene.folder / f"spool{number}")
    commands = [scene.start("import", f"spool{number}") for number in range(WRITERS)]
    killed = rng.sample(range(WRITERS), 2)
    delays = [rng.uniform(1.0, 12.0) for _ in killed]
    for number, delay_s in zip(killed, delays, strict=True):
        time.sleep(delay_s)
        commands[number].kill()
    for number, command in enumerate(commands):
        code = command.end()
        assert number in killed or code == 0, command.text
    for number in killed:
        scene.run("import", f"spool{number}")
    merged = {path.name: path for share in shares for path in share}
    scene.spool.mkdir()
    for path in merged.values():
        shutil.copy(path, scene.spool)
    valid = sum(record.valid for record in scene.records().values())  # some of the committed records are not
    return f"two killed after {' and '.join(f'{delay:.1f}' for delay in delays)} s", valid


def cells(scene: Scene, rng: random.Random) -> tuple[str, int]:
    """Eight commands measure at once on a shared host, into one spool and a store that does not exist."""
    commands = []
    for _ in range(WRITERS):
        commands.append(scene.start(*CELL, "--share-host"))
        time.sleep(rng.uniform(0.0, 0.5))
    for command in commands:
        assert command.end() == 0, command.text
    scene.import_spool()
    return "within 4 s", WRITERS
