"""What a command has read: a frame, where it comes from, and the A/Bs in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from analysis import ab
from analysis.ab import Measured
from analysis.sources.frame import Frame, Source


@dataclass(frozen=True)
class Reading:
    """A frame of a source. With `every_code` tables show the sessions of older code in rows of their own."""

    frame: Frame
    source: Source
    every_code: bool = False

    @cached_property
    def _comparisons(self) -> tuple[list[Measured], list[str]]:
        return ab.of_frame(self.frame)

    @property
    def compared(self) -> list[Measured]:
        """The A/Bs of the frame that have a complete block."""
        return self._comparisons[0]

    @property
    def unusable(self) -> list[str]:
        """A line for each A/B that cannot be used."""
        return self._comparisons[1]
