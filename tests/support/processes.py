"""Where the Pythons that tests start find the project."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SMALL_CACHE = os.pathsep.join((str(ROOT), str(ROOT / "tests" / "small_cache")))
"""PYTHONPATH of those that measure: with a bandwidth probe that is quick everywhere."""
