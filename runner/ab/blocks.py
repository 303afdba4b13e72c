"""Order of the sessions of an A/B: blocks with as many sessions of a as of b, each on one host.

The leading arm alternates from block to block. In a block of two sessions per arm each arm is once early, once late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runner.ab.manifest import LONGEST_BLOCK, ORDERS, Block, Manifest, SessionEntry


def with_open_block(manifest: Manifest, host_id: str, sessions: int) -> Manifest:
    """Returns the manifest with an open block, or unchanged if `sessions` sessions of each arm are done.

    An incomplete block of this host is continued. An incomplete block of another host, or a block with an invalid
    session, stays in the manifest and is not used.
    """
    if manifest.done >= sessions or is_open(manifest, host_id):
        return manifest
    (order,) = possible_orders((sessions,), manifest.done, len(manifest.blocks))
    return replace(manifest, blocks=(*manifest.blocks, Block(host_id, order, ())))


def possible_orders(requested: Sequence[int], done: int, number: int) -> tuple[str, ...]:
    """Returns the orders that block `number` may have after `done` sessions of each arm, such as `ab` or `baab`: one
    for each length that a number in `requested` (sessions of each arm) allows. Empty if all are done."""
    lengths = {min(sessions - done, LONGEST_BLOCK) for sessions in requested if sessions > done}
    return tuple(ORDERS[length][number % 2] for length in sorted(lengths))


def is_open(manifest: Manifest, host_id: str) -> bool:
    """Returns whether the last block continues with a session on this host."""
    last = manifest.blocks[-1] if manifest.blocks else None
    return last is not None and last.host_id == host_id and last.is_sound and not last.is_complete


def with_session(manifest: Manifest, entry: SessionEntry) -> Manifest:
    """Returns the manifest with one more session in its last block."""
    *earlier, last = manifest.blocks
    return replace(manifest, blocks=(*earlier, replace(last, sessions=(*last.sessions, entry))))


def remaining(manifest: Manifest, host_id: str, sessions: int) -> dict[str, int]:
    """Returns the number of sessions of each arm still to measure, provided that every one is valid."""
    counts = dict.fromkeys("ab", max(0, sessions - manifest.done))
    if is_open(manifest, host_id):
        for entry in manifest.blocks[-1].sessions:
            counts[entry.arm] -= 1
    return counts
