"""What every format asks of a checkpoint's quantization_config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.errors import BadCheckpoint


def truth(config: Mapping[str, Any], name: str, missing: bool = False) -> bool:
    """A field that is true or false, `missing` where it is not there. Raises BadCheckpoint for all else: Python takes
    the text "false" for true."""
    value = config.get(name, missing)
    if not isinstance(value, bool):
        raise BadCheckpoint(f"its {name} is {value!r}, neither true nor false")
    return value
