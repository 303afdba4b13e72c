"""Sessions by older and newer code."""

from __future__ import annotations

from typing import Any

from tests.support.records import STARTED_MS, example_record


def of_code(code: str, later_ms: int = 0, **changes: Any) -> dict[str, Any]:
    """A session measured by that code, begun so much later."""
    found = example_record(session={"started_ms": STARTED_MS + later_ms}, **changes)
    found["keys"]["code_key"] = code * 12
    return found
