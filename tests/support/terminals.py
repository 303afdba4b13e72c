"""Commands at a pseudo-terminal of a given width."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

ROOT = Path(__file__).parents[2]


def at_terminal(columns: int, *arguments: str) -> str:
    """Returns what `python -m analysis` writes to a terminal of this width."""
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (50, columns))
    command = [sys.executable, "-m", "analysis", *arguments]
    own = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen(command, cwd=ROOT, env=own, stdout=terminal) as process:
        os.close(terminal)
        written = b""
        while chunk := _read(controller):
            written += chunk
        assert process.wait(timeout=60) == 0
    os.close(controller)
    return written.decode().replace("\r\n", "\n")


def _read(controller: int) -> bytes:
    try:
        return os.read(controller, 65536)
    except OSError:  # the terminal has no writer left
        return b""
