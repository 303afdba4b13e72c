"""Names of the catalogue's GPUs in Ray."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml


@cache
def types() -> Mapping[str, str | None]:
    """Returns GPU of the catalogue → Ray's accelerator type; None if Ray has no name for it."""
    text = Path(__file__).with_name("accelerators.yaml").read_text(encoding="utf-8")
    names: dict[str, str | None] = yaml.safe_load(text)
    return names
