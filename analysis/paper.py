"""The paper's own rows (experiments/paper.yaml), to stand beside ours."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from runner import catalogue

Row = dict[str, Any]

PATH = Path(__file__).resolve().parents[1] / "experiments" / "paper.yaml"


@cache
def _paper() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    return loaded


def graphs_rows() -> list[Row]:
    """Those of its CUDA Graphs A/B, with the datasheet bandwidth of their GPUs."""
    gpus = catalogue.gpus()
    return [{**row, "bandwidth_gbs": gpus[row["gpu"]].bandwidth_gbs.value} for row in _paper()["graphs"]]


def graphs_row(gpu: str, model: str, ctx: int) -> Row | None:
    """Its CUDA Graphs row for a cell, None where it has none."""
    return next((row for row in graphs_rows() if (row["gpu"], row["model"], row["ctx"]) == (gpu, model, ctx)), None)


def quantised_rows() -> list[Row]:
    """Those of its quantised decode, the unquantised baseline first, with the datasheet bandwidth of their GPUs."""
    gpus = catalogue.gpus()
    return [{**row, "bandwidth_gbs": gpus[row["gpu"]].bandwidth_gbs.value} for row in _paper()["quantised"]]
