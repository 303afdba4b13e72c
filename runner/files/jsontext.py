"""JSON from outside the project, with ValueError as the only error."""

from __future__ import annotations

import json
from typing import Any


def loads(text: str | bytes) -> Any:
    """Returns the value of a JSON text. Raises ValueError if it is invalid, or nested too deeply for Python."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("brackets nested too deeply") from error
