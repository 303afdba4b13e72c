"""The requested bundle, with its settings from images/arch/, images/stack/ and the locks."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from images.bundle.errors import Wrong

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ROOT / "requirements" / "images"
FULL, HOST_TORCH = "full", "host-torch"
BASES = (FULL, HOST_TORCH)
PYTHONS = ("3.12", "3.11")
CPU = "cpu"


@dataclass(frozen=True)
class Settings:
    """The settings of a bundle.

    `arch_list` are the compute capabilities ("9.0") that its kernels are compiled for. On a CPU it, `cuda` and
    `min_driver` are empty.
    """

    arch: str
    stack: str
    base: str
    python: str
    arch_list: tuple[str, ...]
    cuda: str
    min_driver: str
    extra_index_url: str

    @property
    def tag(self) -> str:
        """Returns the wheel tag of its Python: cp312."""
        return f"cp{self.python.replace('.', '')}"

    @property
    def name(self) -> str:
        """Returns the name of the archive without suffix, and of its folder."""
        words = ["decode-floor", self.arch]
        words += [self.stack] if self.stack != self.arch else []
        words += [self.base] if self.base != FULL else []
        return "-".join([*words, self.tag])

    def stack_locks(self) -> list[Path]:
        """Returns the locks of the stack's environment, without compiled packages."""
        return [file for end in ("", "-torch") if (file := LOCKS / f"{self.stack}{end}.txt").exists()]


def settings(arch: str, stack: str = "", base: str = "", python: str = "") -> Settings:
    """Returns the settings of a bundle. Empty arguments stand for the first choice. Raises Wrong for unknown values."""
    architectures = sorted(file.stem for file in (ROOT / "images" / "arch").glob("[!.]*.env"))
    if arch not in architectures:
        raise Wrong(f"Architecture '{arch}' is not known: choose ARCH={listed(architectures)}")
    arch_values = _read(ROOT / "images" / "arch" / f"{arch}.env")
    stacks = arch_values["STACKS"].split()
    stack = _chosen(stack, stacks, f"There is no stack '{stack}' for {arch}: choose STACK")
    stack_values = _read(ROOT / "images" / "stack" / f"{stack}.env")
    return Settings(
        arch=arch,
        stack=stack,
        base=_chosen(base, BASES, f"BASE={base} is not known: choose BASE"),
        python=_chosen(python, PYTHONS, f"PYTHON_VERSION={python} is not known: choose PYTHON_VERSION"),
        arch_list=tuple(arch_values["ARCH_LIST"].split()),
        cuda=stack_values["CUDA_VERSION"],
        min_driver=stack_values["MIN_DRIVER"],
        extra_index_url=stack_values["EXTRA_INDEX_URL"],
    )


def _chosen(requested: str, choices: Sequence[str], error: str) -> str:
    if requested and requested not in choices:
        raise Wrong(f"{error}={listed(choices)}")
    return requested or choices[0]


def listed(words: Sequence[str]) -> str:
    """Returns the words as `a, b or c`."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _read(file: Path) -> dict[str, str]:
    """Returns the assignments of the file."""
    words = shlex.split(file.read_text(encoding="utf-8"), comments=True)
    return dict(word.split("=", 1) for word in words)
