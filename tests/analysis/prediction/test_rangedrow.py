"""The range of a prediction as tables show it."""

from dataclasses import dataclass

import pytest

from analysis.prediction.rangedrow import RangedRow


@dataclass(frozen=True)
class Toy(RangedRow):
    low_ms: float
    high_ms: float
    basis: str


@pytest.mark.parametrize(("basis", "short"), [("hopper: h100, h200", "hopper"), ("untested", "untested")])
def test_a_range_has_two_decimals_or_three_digits_and_a_basis_its_architecture(basis: str, short: str) -> None:
    row = Toy(3.194, 1234.5, basis)
    assert (row.range, row.short_range, row.short_basis) == ("3.19 to 1234.50", "3.19–1234", short)
