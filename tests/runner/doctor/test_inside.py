"""The checks that need the environment: each once, in order, and about the chosen card."""

from __future__ import annotations

import pytest

from runner.doctor import hardware, inside
from runner.doctor.examination import INSIDE

pytestmark = pytest.mark.medium


@pytest.mark.usefixtures("cards")
def test_every_check_is_made_once_in_order() -> None:
    assert tuple(found.name for found in inside.findings("auto", hardware.look("auto"))) == INSIDE


@pytest.mark.usefixtures("l4")
def test_the_chosen_card_decides_on_kernels_and_cell() -> None:
    found = {each.name: each.finding for each in inside.findings("auto", hardware.look("auto"))}
    assert "cublas" in found["kernels"]
    assert found["cell"].startswith("gpu=l4 ")
