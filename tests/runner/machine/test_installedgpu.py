"""A card's obstacle: why it cannot be measured, with its name."""

from __future__ import annotations

from collections.abc import Callable

from runner.machine.installedgpu import InstalledGpu


def test_a_card_that_answers_has_no_obstacle(card: Callable[..., InstalledGpu]) -> None:
    assert card("NVIDIA L4").obstacle is None


def test_an_obstacle_names_the_card(card: Callable[..., InstalledGpu]) -> None:
    assert card("NVIDIA L4", 2, fault="lost").obstacle == "gpu 2 (NVIDIA L4) does not answer: lost"
    assert card("", 1, fault="lost").obstacle == "gpu 1 does not answer: lost"
    assert str(card("NVIDIA H100", mig=True).obstacle).startswith("gpu 0 (NVIDIA H100) is in MIG mode")
