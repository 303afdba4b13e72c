"""Fixtures that tests of several tables share."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.sources.records import Folder
from analysis.tables import budget
from analysis.tables._budgetrow import BudgetRow

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def committed() -> list[BudgetRow]:
    """The valid rows of the gap budget of the committed records."""
    folder = Folder(ROOT / "experiments" / "records")
    return [row for row in budget.budgets(budget.rows(folder.frame(budget.METRICS))) if row.valid]
