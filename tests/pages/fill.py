"""Fill the pages with the output of the commands that they name.

python -m tests.pages.fill README.md docs/results.md

A page names a command in a comment, `<!-- $ python -m analysis floor -->`. What stands between that line and the next
`<!-- end -->` is replaced by the command and its output.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"<!-- \$ (?P<command>[^\n]+) -->\n(?P<content>.*?)<!-- end -->", re.DOTALL)


def output(command: str) -> str:
    """Returns what the command prints. Raises CalledProcessError if it fails."""
    program, *arguments = shlex.split(command)
    python = sys.executable if program == "python" else program
    return subprocess.run([python, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def content(command: str, printed: str) -> str:
    """Returns the block of a command: the command, for the reader, and its output."""
    return f"\n`{command}` prints:\n\n{printed}\n"


def blocks(page: str) -> dict[str, str]:
    """Returns the content of each block of a page by its command."""
    return {block["command"]: block["content"] for block in BLOCK.finditer(page)}


def filled(page: str) -> str:
    """Returns the page with the content of each block made again."""
    return BLOCK.sub(lambda block: _block(block["command"]), page)


def _block(command: str) -> str:
    return f"<!-- $ {command} -->\n{content(command, output(command))}<!-- end -->"


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
