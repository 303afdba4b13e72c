"""May two sessions stand in one A/B? In the same place and environment, and within an arm by the same code."""

from __future__ import annotations

from collections.abc import Sequence

from runner.ab.facts import Facts

OF_KERNEL = ("kernel_package", "env_key")
"""The package, and the key that it is a part of: all that a store tells at a glance."""


def obstacle(found: Facts, cell_key: str, same_arm: Sequence[Facts], other_arm: Sequence[Facts]) -> str | None:
    """What keeps a session from counting in the arm of this cell beside those before it (each arm's first is asked), or
    None. An invalid session has no other obstacle than that."""
    if found.cell_key != cell_key:
        return "it resolved to another cell than declared (a hub revision that is not pinned?)"
    return _difference(found, same_arm, other_arm)


def _difference(found: Facts, same_arm: Sequence[Facts], other_arm: Sequence[Facts]) -> str | None:
    for earlier in (*same_arm[:1], *other_arm[:1]):
        if text := _place_difference(earlier, found) or _environment_difference(earlier, found):
            return text
    for earlier in same_arm[:1]:
        if earlier.code_key != found.code_key:
            return "the project's code has changed since"
    return None


def _place_difference(earlier: Facts, found: Facts) -> str | None:
    same = earlier.place == found.place
    return None if same else f"it was measured in {found.place}, those before in {earlier.place}"


def _environment_difference(earlier: Facts, found: Facts) -> str | None:
    """The first version that differs; a kernel's package may, where the arms have different kernels."""
    same_kernel = earlier.kernel == found.kernel
    for name in found.versions:
        before, now = earlier.versions[name], found.versions[name]
        if before != now and (same_kernel or name not in OF_KERNEL):
            return f"{name} is {now}, and was {before}"
    return None
