"""Study files, as tests write them."""

from __future__ import annotations

from pathlib import Path

from runner.study.declaration import studyfile
from runner.study.declared import Study


def read(folder: Path, text: str | bytes, name: str = "floor.yaml") -> Study:
    """Returns the study that a file of this text declares."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return studyfile.read(path)
