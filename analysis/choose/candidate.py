"""Candidates: configurations with what is known of them, whether measured, published or predicted."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.choose.worstsession import Tail
from analysis.group import Group

MEASURED, PUBLISHED, PREDICTED = "measured here", "published (paper)", "predicted"
BASES = (MEASURED, PUBLISHED, PREDICTED)
"""Kinds of evidence, the strongest first."""


@dataclass(frozen=True)
class Configuration:
    """A GPU, and what decodes on it. A field that the source does not state is empty."""

    gpu: str
    model: str
    ctx: int
    quant: str
    kernel: str
    runtime: str
    cache: str


@dataclass(frozen=True)
class Candidate:
    """A configuration with what is known of it; None for what is not.

    `chunk_ms` is the median time of the tokens that the deadline is for. `low_ms` and `high_ms` are the ends of a
    predicted step's range, None for an end that nobody knows.
    """

    configuration: Configuration
    basis: str
    """one of `BASES`"""
    source: str
    """what the numbers come from"""
    step_ms: float
    chunk_ms: float
    untested: bool = False
    """whether it is predicted for an architecture without a record"""
    group: Group | None = None
    """the group of its sessions"""
    low_ms: float | None = None
    high_ms: float | None = None
    tail: Tail | None = None
    joules_per_token: float | None = None
    joules_low: float | None = None
    joules_high: float | None = None
    joules_most: float | None = None
    """energy per token of the session that took most"""
    usd_per_mtok: float | None = None
    memory_left_bytes: float | None = None

    @property
    def flags(self) -> list[str]:
        """Returns the flags of its sessions."""
        return [] if self.group is None else self.group.flags
