"""The order of an A/B: blocks with equally many sessions of both arms, each on one host, first a then b leading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runner.ab.manifest import LONGEST_BLOCK, ORDERS, Block, Manifest, SessionEntry


def opened(manifest: Manifest, host_id: str, wanted: int) -> Manifest:
    """The manifest with a block that waits for its next session; itself when `wanted` sessions of each arm are done.

    A block begun on this host goes on. One of another host, or with a session that is not valid, stays as it is,
    unused; `order` alternates from block to block, and within a block of two each arm is once early and once late.
    """
    missing = wanted - manifest.done
    if missing <= 0 or is_open(manifest, host_id):
        return manifest
    (order,) = orders((wanted,), manifest.done, len(manifest.blocks))
    return replace(manifest, blocks=(*manifest.blocks, Block(host_id, order, ())))


def orders(asked: Sequence[int], done: int, number: int) -> tuple[str, ...]:
    """In which orders block `number` can be when `done` sessions of each arm are, and one of these numbers is asked."""
    lengths = {min(wanted - done, LONGEST_BLOCK) for wanted in asked if wanted > done}
    return tuple(ORDERS[length][number % 2] for length in sorted(lengths))


def is_open(manifest: Manifest, host_id: str) -> bool:
    """Does the last block wait for a session on this host?"""
    last = manifest.blocks[-1] if manifest.blocks else None
    return last is not None and last.host_id == host_id and last.is_sound and not last.is_complete


def with_session(manifest: Manifest, entry: SessionEntry) -> Manifest:
    """The manifest with one more session in its last block."""
    *before, last = manifest.blocks
    return replace(manifest, blocks=(*before, replace(last, sessions=(*last.sessions, entry))))


def remaining(manifest: Manifest, host_id: str, wanted: int) -> dict[str, int]:
    """Sessions of each arm that are still to be measured, when all goes well."""
    left = dict.fromkeys("ab", max(0, wanted - manifest.done))
    if is_open(manifest, host_id):
        for entry in manifest.blocks[-1].sessions:
            left[entry.arm] -= 1
    return left
