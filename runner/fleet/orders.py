"""Orders of sessions, which travel from the driver to a node, and the deliveries of their records, which come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runner.plan.request import Request
from runner.study.declared import Arms


@dataclass(frozen=True)
class SessionOrder:
    """One session of a cell. `cell_key` is that of the driver's plan: a node with other weights measures nothing."""

    request: Request
    index: int
    cell_key: str
    count = 1
    """sessions of the order"""


@dataclass(frozen=True)
class BlockOrder:
    """The next block of an A/B. `manifest` is the JSON text of the A/B so far, and `records` has the texts of its
    records by their file names: the node compares its sessions with them. `count` is the number of its sessions."""

    request: Request
    arms: Arms
    sessions: int
    extension: int
    manifest: str
    records: Mapping[str, str]
    count: int


@dataclass(frozen=True)
class Terms:
    """The conditions of an order.

    `tree_key` is that of the driver's code. A node does not begin a session that would end after `end_ms` (milliseconds
    since the epoch) if it takes `expected_s` for each of the order's sessions. `timeout_s` None is the time that the
    protocol needs.
    """

    tree_key: str
    share_host: bool
    timeout_s: float | None
    end_ms: int | None = None
    expected_s: float | None = None


@dataclass(frozen=True)
class Fault:
    """The error that ended an order: its short name and its message."""

    reason: str
    message: str


@dataclass(frozen=True)
class Delivery:
    """The result of an order. `records` are texts in the order of their sessions, `manifest` is that of an A/B with
    them. `waited` says for what the node waited first. `is_late` says that the node did not begin, because of the time
    limit."""

    node: str
    records: tuple[str, ...] = ()
    manifest: str | None = None
    notes: tuple[str, ...] = ()
    waited: str | None = None
    fault: Fault | None = None
    is_late: bool = False
