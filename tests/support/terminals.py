"""Commands at a pseudo-terminal of a given width."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def at_terminal(columns: int, *arguments: str) -> str:
    """Returns what `python -m analysis` writes to a terminal of this width."""
    own = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return written(columns, [sys.executable, "-m", "analysis", *arguments], own, ("stdout",))


def written(
    columns: int, command: Sequence[str], variables: Mapping[str, str], streams: Sequence[str], **others: int
) -> str:
    """Returns what a command writes to a terminal of this width, which these of its streams are."""
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (50, columns))
    given: dict[str, Any] = {**dict.fromkeys(streams, terminal), **others}
    with subprocess.Popen(command, cwd=ROOT, env=variables, **given) as process:
        os.close(terminal)
        text = b""
        while chunk := _read(controller):
            text += chunk
        assert process.wait(timeout=60) == 0
    os.close(controller)
    return text.decode().replace("\r\n", "\n")


def _read(controller: int) -> bytes:
    try:
        return os.read(controller, 65536)
    except OSError:  # the terminal has no writer left
        return b""
