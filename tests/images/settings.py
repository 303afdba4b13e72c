"""What images/arch/ and images/stack/ say, read as bash reads it where only plain assignments stand."""

from __future__ import annotations

import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def read(file: Path) -> dict[str, str]:
    """The assignments of a file; raises ValueError for a line that is anything else."""
    words = shlex.split(file.read_text(encoding="utf-8"), comments=True)
    pairs = [word.split("=", 1) for word in words]
    if any(len(pair) != 2 or not pair[0].isidentifier() for pair in pairs):
        raise ValueError(f"{file} is not made of plain assignments")
    return dict(pairs)


def folder(name: str) -> dict[str, dict[str, str]]:
    """All settings of images/NAME/, by the file's name."""
    return {file.stem: read(file) for file in sorted((ROOT / "images" / name).glob("*.env"))}


ARCHITECTURES = folder("arch")
STACKS = folder("stack")
IMAGES = [(arch, stack) for arch, settings in ARCHITECTURES.items() for stack in settings["STACKS"].split()]
