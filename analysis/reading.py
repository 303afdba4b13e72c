"""The input of a command: a frame, its source, and the A/Bs in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from analysis import ab
from analysis.ab import Measured
from analysis.prices import Prices
from analysis.sources.frame import Frame, Source


@dataclass(frozen=True)
class Reading:
    """A frame of a source. With `every_code`, tables show sessions of older code in separate rows.
    `prices` are used instead of the catalogue's."""

    frame: Frame
    source: Source
    every_code: bool = False
    prices: Prices = field(default_factory=dict)

    @cached_property
    def _comparisons(self) -> tuple[list[Measured], list[str]]:
        return ab.from_frame(self.frame)

    @property
    def compared(self) -> list[Measured]:
        """Returns the A/Bs of the frame that have a complete block."""
        return self._comparisons[0]

    @property
    def unusable(self) -> list[str]:
        """Returns a line for each A/B that cannot be used."""
        return self._comparisons[1]
