"""Which bundle is asked for, and what images/arch/, images/stack/ and the locks say of it."""

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
    """A bundle. `arch_list` has the compute capabilities ("9.0") that its kernels are compiled for, none for a CPU;
    `cuda` and `min_driver` are empty there, too."""

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
        """Of the Python it is for, as wheels name it: cp312."""
        return f"cp{self.python.replace('.', '')}"

    @property
    def name(self) -> str:
        """Of the archive without its ending, and of the folder in it."""
        words = ["decode-floor", self.arch]
        words += [self.stack] if self.stack != self.arch else []
        words += [self.base] if self.base != FULL else []
        return "-".join([*words, self.tag])

    def stack_locks(self) -> list[Path]:
        """The locks of the stack's environment, but for what is compiled."""
        return [file for end in ("", "-torch") if (file := LOCKS / f"{self.stack}{end}.txt").exists()]


def settings(arch: str, stack: str = "", base: str = "", python: str = "") -> Settings:
    """Of the bundle asked for; what is empty is the first that there is. Raises Wrong for what there is not."""
    architectures = sorted(file.stem for file in (ROOT / "images" / "arch").glob("[!.]*.env"))
    if arch not in architectures:
        raise Wrong(f"Architecture '{arch}' is not known: choose ARCH={listed(architectures)}")
    of_arch = _read(ROOT / "images" / "arch" / f"{arch}.env")
    stacks = of_arch["STACKS"].split()
    stack = _chosen(stack, stacks, f"There is no stack '{stack}' for {arch}: choose STACK")
    of_stack = _read(ROOT / "images" / "stack" / f"{stack}.env")
    return Settings(
        arch=arch,
        stack=stack,
        base=_chosen(base, BASES, f"BASE={base} is not known: choose BASE"),
        python=_chosen(python, PYTHONS, f"PYTHON_VERSION={python} is not known: choose PYTHON_VERSION"),
        arch_list=tuple(of_arch["ARCH_LIST"].split()),
        cuda=of_stack["CUDA_VERSION"],
        min_driver=of_stack["MIN_DRIVER"],
        extra_index_url=of_stack["EXTRA_INDEX_URL"],
    )


def _chosen(asked: str, known: Sequence[str], otherwise: str) -> str:
    if asked and asked not in known:
        raise Wrong(f"{otherwise}={listed(known)}")
    return asked or known[0]


def listed(words: Sequence[str]) -> str:
    """a, b or c"""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _read(file: Path) -> dict[str, str]:
    """The plain assignments that such a file is made of."""
    words = shlex.split(file.read_text(encoding="utf-8"), comments=True)
    return dict(word.split("=", 1) for word in words)
