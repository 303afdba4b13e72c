"""JSON that somebody else wrote, read so that all that can be wrong with it is one kind of error."""

from __future__ import annotations

import json
from typing import Any


def loads(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError for all that is none, and for one nested deeper than Python reads."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("brackets nested too deeply") from error
