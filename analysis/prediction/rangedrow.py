"""A row with the range of a predicted step, and what the prediction is based on, as tables show them."""

from __future__ import annotations

from analysis import form
from analysis.row import Row


class RangedRow(Row):
    """A row of a prediction. Subclasses are frozen dataclasses with these fields."""

    low_ms: float
    """ends of the range of the step"""
    high_ms: float
    basis: str
    """the architecture with its GPUs that the constants were fitted on, or `untested`"""

    @property
    def range(self) -> str:
        return f"{self.low_ms:.2f} to {self.high_ms:.2f}"

    @property
    def short_range(self) -> str:
        return form.short_range(self.low_ms, self.high_ms)

    @property
    def short_basis(self) -> str:
        """Returns the architecture without its GPUs, or `untested`."""
        return self.basis.partition(":")[0]
