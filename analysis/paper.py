"""The paper's own figures (experiments/paper.yaml), to stand beside ours."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any

from runner import registry
from runner.cell import catalogue, floors
from runner.cell.shape import ModelShape

Row = dict[str, Any]

UNQUANTISED, DTYPE_BYTES = "bf16", 2


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


def implied_ms(row: Row) -> float:
    """The step in ms that an R_floor of its means, by its bytes (W + K) at the datasheet's bandwidth."""
    return floors.floor_ms(_bytes(row), gpu(row["gpu"]).bandwidth_gbs.value or 0.0) / float(row["r_floor_paper"])


def _bytes(row: Row) -> float:
    of_model = shape(row["model"])
    weights = registry.weight_bytes(UNQUANTISED, None, of_model, DTYPE_BYTES)
    return floors.bytes_paper(weights, floors.kv_bytes_per_token(of_model, DTYPE_BYTES) * row["ctx"])


def two_steps(gpu: str, model: str, ctx: int, quant: str = UNQUANTISED) -> str | None:
    """A sentence on a cell whose R_floor means another step than the one that the paper has elsewhere, None of a cell
    that has one step."""
    place = (gpu, model, ctx)
    row = next((row for row in floor_rows() if _place(row) == place), None)
    elsewhere = [
        *(("the eager arm of its A/B takes", one["a_ms"]) for one in graphs_rows() if _place(one) == place),
        *(
            ("the unquantised step beside its quantised ones takes", one["step_ms"])
            for one in quantised_rows()
            if _place(one) == place and one["quant"] == UNQUANTISED
        ),
    ]
    others = " and ".join(f"{what} {ms:g} ms" for what, ms in elsewhere if ms is not None)
    if row is None or quant != UNQUANTISED or not others:
        return None
    told = f"{row['r_floor_paper']:.3f} of {_bytes(row) / 1e9:.2f} GB, means {implied_ms(row):.2f} ms a step"
    return f"The paper's R_floor of {gpu} {model} {ctx}, {told}; {others}"


def two_steps_of(places: Collection[tuple[str, str, int]]) -> list[str]:
    """Yields those sentences of these cells."""
    return [text for place in sorted(places) if (text := two_steps(*place)) is not None]


def _place(row: Row) -> tuple[str, str, int]:
    return row["gpu"], row["model"], row["ctx"]


def _with_bandwidth(row: Row) -> Row:
    return {**row, "bandwidth_gbs": gpu(row["gpu"]).bandwidth_gbs.value}
