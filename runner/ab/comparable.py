"""Conditions for sessions of one A/B: the same place and environment, and the same code within an arm."""

from __future__ import annotations

from collections.abc import Sequence

from runner.ab.facts import Facts
from runner.record.record import version_difference

KERNEL_VERSIONS = ("kernel_package", "env_key")
"""Versions that depend on the kernel. `env_key` includes the package, and is all that a row of a store has."""


def obstacle(session: Facts, cell_key: str, same_arm: Sequence[Facts], other_arm: Sequence[Facts]) -> str | None:
    """Returns why the session cannot be compared with the earlier ones, None if it can.

    `cell_key` is the arm's. The session is compared with the first session of each arm. Validity is not considered.
    """
    if session.cell_key != cell_key:
        return "it resolved to another cell than declared (a hub revision that is not pinned?)"
    return _difference(session, same_arm, other_arm)


def _difference(session: Facts, same_arm: Sequence[Facts], other_arm: Sequence[Facts]) -> str | None:
    for earlier in (*same_arm[:1], *other_arm[:1]):
        if text := _place_difference(earlier, session) or _environment_difference(earlier, session):
            return text
    for earlier in same_arm[:1]:
        if earlier.code_key != session.code_key:
            return "the project's code has changed since"
    return None


def _place_difference(earlier: Facts, session: Facts) -> str | None:
    is_same = earlier.place == session.place
    return None if is_same else f"it was measured in {session.place}, the earlier sessions in {earlier.place}"


def _environment_difference(earlier: Facts, session: Facts) -> str | None:
    """Returns the first version that differs. The kernel's package may differ between different kernels."""
    ignored = () if earlier.kernel == session.kernel else KERNEL_VERSIONS
    return version_difference(session.versions, earlier.versions, ignored)
