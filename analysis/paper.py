"""The paper's own figures (experiments/paper.yaml), to stand beside ours."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from typing import Any

from runner import catalogue
from runner.shape import ModelShape

Row = dict[str, Any]


@cache
def _paper() -> dict[str, Any]:
    return catalogue.read_yaml(catalogue.SHIPPED / "paper.yaml")


def gpu(key: str) -> catalogue.Gpu:
    """Returns the entry of one of its GPUs. A user's own catalogue need not have it."""
    return catalogue.gpus(catalogue.SHIPPED)[key]


def shape(model: str) -> ModelShape:
    """Returns the shape of one of its models, likewise."""
    return catalogue.models(catalogue.SHIPPED)[model].shape


def floor_rows() -> list[Row]:
    """Its R_floor by cell, with the datasheet bandwidth of the GPUs."""
    return [_with_bandwidth(row) for row in _paper()["floors"]]


def range_rows() -> list[Row]:
    """Its ranges and medians of R_floor by GPU."""
    return [dict(row) for row in _paper()["ranges"]]


def matrix() -> Iterator[tuple[str, str, int]]:
    """(gpu, model, ctx) of every cell it set out to measure."""
    cells = _paper()["cells"]
    yield from itertools.product(cells["gpus"], cells["models"], cells["ctx"])


def valid_cells() -> int:
    """How many of them it measured."""
    return int(_paper()["cells"]["valid"])


def out_of_memory_rows() -> list[Row]:
    """The cells that it names as out of memory."""
    return [dict(row) for row in _paper()["cells"]["out_of_memory"]]


def graphs_rows() -> list[Row]:
    """Those of its CUDA Graphs A/B, with the datasheet bandwidth of their GPUs."""
    return [_with_bandwidth(row) for row in _paper()["graphs"]]


def graphs_row(gpu: str, model: str, ctx: int) -> Row | None:
    """Its CUDA Graphs row for a cell, None where it has none."""
    return next((row for row in graphs_rows() if (row["gpu"], row["model"], row["ctx"]) == (gpu, model, ctx)), None)


def quantised_rows() -> list[Row]:
    """Those of its quantised decode, the unquantised baseline first, with the datasheet bandwidth of their GPUs."""
    return [_with_bandwidth(row) for row in _paper()["quantised"]]


def _with_bandwidth(row: Row) -> Row:
    return {**row, "bandwidth_gbs": gpu(row["gpu"]).bandwidth_gbs.value}
