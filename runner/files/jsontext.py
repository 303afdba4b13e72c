"""JSON from outside the project, with ValueError as the only error."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
"""Escape of half a surrogate pair, which is no character without the other half."""

Number = Callable[[str], Any]
"""Returns the value of a number as written. Raises ValueError for one that is not allowed."""


def loads(text: str | bytes, parse_constant: Number | None = None, parse_int: Number | None = None) -> Any:
    """Returns the value of a JSON text, in UTF-8 if it is bytes.

    Raises ValueError if it is invalid, nested too deeply for Python, repeats a name in an object, or has half a
    surrogate pair, which no file can have. `parse_constant` is for NaN and the infinities, which JSON lacks.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=parse_constant, parse_int=parse_int)
        if _HALF_PAIR.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise ValueError("brackets nested too deeply") from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} occurs twice in an object")
    return found
