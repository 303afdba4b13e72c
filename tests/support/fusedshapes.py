"""Shapes and cards on which the fused kernel's layout is tried: the catalogue's, and odd ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from runner.cell import catalogue
from runner.cell.shape import ModelShape
from runner.fused.geometry import Card

H200 = Card(multiprocessors=132, shared_bytes=232448)
L4 = Card(multiprocessors=58, shared_bytes=101376)
A100 = Card(multiprocessors=108, shared_bytes=166912)
ORIN = Card(multiprocessors=16, shared_bytes=166912)
ARCHITECTURES = {
    "sm_80": A100,
    "sm_86": Card(multiprocessors=82, shared_bytes=101376),  # an RTX 3090
    "sm_89": L4,
    "sm_90a": H200,
    "sm_100a": Card(multiprocessors=148, shared_bytes=232448),  # a B200
    "sm_120a": Card(multiprocessors=188, shared_bytes=101376),  # an RTX PRO 6000
}
"""A card of each architecture that the kernel is compiled for without a GPU."""


def of_catalogue() -> dict[str, ModelShape]:
    return {name: model.shape for name, model in catalogue.models().items()}


def odd() -> dict[str, ModelShape]:
    """Returns shapes that no catalogue has: sizes that do not divide, one key head, groups of 1, 2, 4, 7 and 8, and
    rows of the down projection that are cut into five pieces."""
    tiny = of_catalogue()["tiny"]
    changes = {
        "group-1": {"hidden": 512, "heads": 4, "kv_heads": 4, "head_dim": 128, "intermediate": 1536, "vocab": 999},
        "group-2": {"hidden": 264, "heads": 4, "kv_heads": 2, "head_dim": 64, "intermediate": 520, "vocab": 999},
        "group-4": {"hidden": 448, "heads": 8, "kv_heads": 2, "head_dim": 64, "intermediate": 1160, "vocab": 1003},
        "group-7": {"hidden": 904, "heads": 14, "kv_heads": 2, "head_dim": 64, "intermediate": 1000, "vocab": 1999},
        "group-8": {"hidden": 1024, "heads": 8, "kv_heads": 1, "head_dim": 128, "intermediate": 3000, "vocab": 2000},
        "one-key-head": {"hidden": 384, "heads": 4, "kv_heads": 1, "head_dim": 64, "intermediate": 1088, "vocab": 777},
        "five-pieces": {"hidden": 264, "heads": 4, "kv_heads": 2, "head_dim": 64, "intermediate": 9000, "vocab": 999},
    }
    return {name: replace(tiny, **change) for name, change in changes.items()}


def everything() -> dict[str, ModelShape]:
    return of_catalogue() | odd()


def on_two_cards() -> Iterator[Any]:
    """Yields each shape with a large and a small card. A run of all tests leaves out those that are marked `nvrtc`: it
    has one of the catalogue's large shapes on the small card."""
    for card_name, card in (("h200", H200), ("l4", L4)):
        for name in everything():
            always = card is H200 or name in ("qwen2.5-7b", "tiny", *odd())
            yield pytest.param(name, card, marks=() if always else pytest.mark.nvrtc, id=f"{name}-{card_name}")
