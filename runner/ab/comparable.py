"""May two sessions stand in one A/B? In the same place and environment, and within an arm by the same code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runner.records import record

Record = Mapping[str, Any]


def difference(found: Record, same_arm: Sequence[Record], other_arm: Sequence[Record]) -> str | None:
    """What keeps a session from standing beside those before it (each arm's first is asked), or None."""
    for earlier in (*same_arm[:1], *other_arm[:1]):
        if text := _place_difference(earlier, found) or _environment_difference(earlier, found):
            return text
    for earlier in same_arm[:1]:
        if earlier["keys"]["code_key"] != found["keys"]["code_key"]:
            return "the project's code has changed since"
    return None


def _place_difference(earlier: Record, found: Record) -> str | None:
    before, now = (place_of(each.get("container")) for each in (earlier, found))
    return None if before == now else f"it was measured in {now}, those before in {before}"


def place_of(container: Record | None) -> str:
    """Where a session was measured, from that section of its record. An image is known by its digest: its name can be
    given to another one."""
    return f"{container['engine']}'s image {container['digest']}" if container else "the runner's own interpreter"


def _environment_difference(earlier: Record, found: Record) -> str | None:
    """The first version that differs; a kernel's package may, where the arms have different kernels."""
    same_kernel = earlier["cell"]["kernel"] == found["cell"]["kernel"]
    for name in record.ENV_KEY_VERSIONS:
        before, now = (each["environment"].get(name) for each in (earlier, found))
        if before != now and (same_kernel or name != "kernel_package"):
            return f"{name} is {now}, and was {before}"
    return None
