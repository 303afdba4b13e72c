"""Commands of the project in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m analysis …` in the root of the repository."""
    whole = [sys.executable, "-m", "analysis", *arguments]
    return subprocess.run(whole, cwd=ROOT, capture_output=True, text=True)
