"""The files that a run of MLflow keeps of what analysis made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Files: TypeAlias = Mapping[str, str | bytes]
"""Name → content."""
