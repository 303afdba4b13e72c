"""Faults: a record that is truncated after each of its bytes."""

from __future__ import annotations

import random
from pathlib import Path

from tests.faults.scene import Scene
from tests.runner.store import contents


def truncated(scene: Scene, _rng: random.Random, whole: Path) -> tuple[str, int]:
    """No part of a record is imported. The text without the last line break is the whole record."""
    content = whole.read_bytes()
    assert content.endswith(b"}\n")
    parts = scene.folder / "parts"
    parts.mkdir()
    for length in range(len(content) - 1):
        (parts / f"{length:06d}.json").write_bytes(content[:length])
    said = scene.run("import", "parts", codes=(24,))
    assert said.count("refused ") == len(content) - 1
    assert contents.runs(scene.uri) == []
    scene.spool.mkdir()
    (scene.spool / whole.name).write_bytes(content[:-1])
    scene.import_spool()
    (scene.spool / whole.name).write_bytes(content)
    assert "0 records imported, 1 already there" in scene.import_spool()
    return f"each of {len(content) - 1} lengths", 1
