"""The catalogue's cards stand for absent GPUs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.cell import catalogue
from runner.cell.catalogue import Figure
from runner.plan import absent, cards

WITH_CARD = [key for key, gpu in catalogue.gpus().items() if gpu.nvml is not None]


@pytest.mark.parametrize("key", WITH_CARD)
def test_every_gpu_of_the_catalogue_has_a_card_of_its_own_name(key: str) -> None:
    entry = catalogue.gpus()[key]
    card = absent.card(entry)
    assert card is not None
    assert cards.gpu_key(card) == key
    assert card.memory_bytes == int(entry.memory_gb.value * 1e9)  # type: ignore[operator]  # each has a figure
    assert (card.compute_capability, card.obstacle) == (entry.compute_capability, None)


def test_there_is_no_card_without_a_memory_or_with_a_pattern_of_several_names() -> None:
    l4 = catalogue.gpus()["l4"]
    assert absent.card(replace(l4, memory_gb=Figure(None, None, "unknown"))) is None
    assert absent.card(replace(l4, nvml="NVIDIA L4( .*)?")) is None
    assert absent.card(catalogue.gpus()["cpu"]) is None
    assert absent.card(catalogue.gpus()["jetson-orin-nx"]) is None  # NVML does not tell the Orin modules apart
