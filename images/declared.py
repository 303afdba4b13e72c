"""`python -m images.declared`: writes the requirements that kernels and runtimes declare into `declared*.in`.

The inputs of `make lock` include these files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from runner import registry
from runner.cell.vocabulary import CPU, STACKS
from runner.installation import Installation

FOLDER = Path(__file__).resolve().parents[1] / "requirements"
HEAD = "# Made by `make lock` from the declarations in runner/kernels/ and runner/runtimes/.\n"


def files() -> dict[str, str]:
    """Returns the text of each file, by its path in requirements/."""
    lines = {"declared-cpu.in": [pin for package in installations(CPU) for pin in package.wheels]}
    for stack in STACKS:
        packages = list(installations(stack))
        lines[f"images/declared-{stack}.in"] = [pin for package in packages for pin in package.wheels]
        lines[f"images/declared-{stack}-kernels.in"] = [pin for package in packages for pin in package.sources]
    return {path: HEAD + "".join(f"{pin}\n" for pin in dict.fromkeys(pins)) for path, pins in lines.items()}


def installations(stack: str) -> Iterator[Installation]:
    """Yields the installations of a stack's kernels, and of the runtimes of its kind of device."""
    for kernel in registry.kernel_declarations():
        if CPU in kernel.devices if stack == CPU else stack in kernel.stacks:
            yield kernel.installation
    for runtime in registry.runtime_declarations():
        if stack != CPU or CPU in runtime.devices:
            yield runtime.installation


def main() -> None:
    """Writes the files."""
    for path, text in files().items():
        (FOLDER / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
