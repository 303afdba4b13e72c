"""The paper's own figures (experiments/paper.yaml), for comparison with ours."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from runner import registry
from runner.cell import catalogue, floors, jsonform, protocol
from runner.cell.shape import ModelShape
from runner.cell.vocabulary import DEFAULT_PROTOCOL

UNQUANTISED, DTYPE_BYTES = "bf16", 2
PROTOCOL = protocol.NAMED[DEFAULT_PROTOCOL].title
"""The paper's protocol, as rows name it."""
KERNELS = {"AutoAWQ+Marlin": "marlin", "ExLlamaV2": "exllamav2", "bitsandbytes": "bitsandbytes", "": "cublas"}
"""Names of kernels in the catalogue by the paper's names."""
Spot = tuple[str, str, int]
"""(gpu, model, ctx)"""


@dataclass(frozen=True)
class Place:
    """A cell of the paper."""

    gpu: str
    model: str
    ctx: int

    @property
    def spot(self) -> Spot:
        return self.gpu, self.model, self.ctx


@dataclass(frozen=True)
class FloorFigure(Place):
    """The paper's R_floor of a cell, with the datasheet bandwidth of its GPU."""

    r_floor_paper: float
    bandwidth_gbs: float


@dataclass(frozen=True)
class GraphsFigure(Place):
    """The paper's A/B between eager and graph for a cell: steps in ms, and their ratio with its interval."""

    sessions: int | None
    a_ms: float | None
    b_ms: float | None
    ratio: float
    ratio_low: float | None
    ratio_high: float | None
    bandwidth_gbs: float


@dataclass(frozen=True)
class QuantFigure(Place):
    """The paper's step of quantised decode in ms. `kernel` is the paper's name for the kernel."""

    quant: str
    kernel: str
    step_ms: float
    bandwidth_gbs: float


@dataclass(frozen=True)
class RangeFigure:
    """The paper's range and median of R_floor over the cells of a GPU."""

    gpu: str
    cells: int
    low: float
    high: float
    median: float


@dataclass(frozen=True)
class Claim:
    """A claim of the paper's abstract. `name` is also the name of the rule that tests it."""

    name: str
    text: str


Figure = TypeVar("Figure", FloorFigure, GraphsFigure, QuantFigure)


@cache
def _paper() -> dict[str, Any]:
    return catalogue.read_yaml(catalogue.SHIPPED / "paper.yaml")


def gpu(key: str) -> catalogue.Gpu:
    """Returns the shipped catalogue's entry of one of the paper's GPUs. A user's catalogue may lack it."""
    return catalogue.gpus(catalogue.SHIPPED)[key]


def shape(model: str) -> ModelShape:
    """Returns the shape of one of the paper's models from the shipped catalogue."""
    return catalogue.models(catalogue.SHIPPED)[model].shape


def floor_rows() -> list[FloorFigure]:
    """Returns the paper's R_floor by cell."""
    return [_figure(FloorFigure, row) for row in _paper()["floors"]]


def range_rows() -> list[RangeFigure]:
    """Returns the ranges and medians of R_floor by GPU as the paper states them."""
    return [jsonform.from_json(RangeFigure, row) for row in _paper()["ranges"]]


def matrix() -> Iterator[Spot]:
    """Yields (gpu, model, ctx) of every cell that the paper set out to measure."""
    cells = _paper()["cells"]
    yield from itertools.product(cells["gpus"], cells["models"], cells["ctx"])


def valid_cells() -> int:
    """Returns the number of these cells that the paper measured."""
    return int(_paper()["cells"]["valid"])


def out_of_memory_rows() -> list[Place]:
    """Returns the cells that the paper reports as out of memory."""
    return [Place(**row) for row in _paper()["cells"]["out_of_memory"]]


def graphs_rows() -> list[GraphsFigure]:
    """Returns the figures of the paper's CUDA Graphs A/Bs."""
    return [_figure(GraphsFigure, row) for row in _paper()["graphs"]]


def graphs_row(gpu: str, model: str, ctx: int) -> GraphsFigure | None:
    """Returns the paper's CUDA Graphs figure of a cell, None if it has none."""
    return next((row for row in graphs_rows() if row.spot == (gpu, model, ctx)), None)


def quantised_rows() -> list[QuantFigure]:
    """Returns the paper's figures of quantised decode, the unquantised baseline first."""
    return [_figure(QuantFigure, row) for row in _paper()["quantised"]]


def claims() -> list[Claim]:
    """Returns the claims of the paper's abstract."""
    return [Claim(**row) for row in _paper()["claims"]]


def implied_ms(figure: FloorFigure) -> float:
    """Returns the step in ms that follows from an R_floor of the paper: bytes (W + K) over datasheet bandwidth and
    R_floor."""
    return floors.floor_ms(_bytes(figure), figure.bandwidth_gbs) / figure.r_floor_paper


def streamed_share(figure: FloorFigure) -> float:
    """Returns streamed bytes over the paper's count of bytes."""
    return _streamed_bytes(figure) / _bytes(figure)


def _streamed_bytes(figure: FloorFigure) -> float:
    return registry.streamed_bytes(UNQUANTISED, shape(figure.model), figure.ctx, DTYPE_BYTES)


def _bytes(figure: FloorFigure) -> float:
    model = shape(figure.model)
    weights = registry.weight_bytes(UNQUANTISED, None, model, DTYPE_BYTES)
    return floors.bytes_paper(weights, floors.kv_bytes_per_token(model, DTYPE_BYTES) * figure.ctx)


def two_steps(gpu: str, model: str, ctx: int, quant: str = UNQUANTISED) -> str | None:
    """Returns a sentence if the R_floor of a cell implies another step than the paper states elsewhere, else None."""
    spot = (gpu, model, ctx)
    row = next((row for row in floor_rows() if row.spot == spot), None)
    stated = " and ".join(f"{source} takes {ms:g} ms" for source, ms in _steps_elsewhere(spot))
    if row is None or quant != UNQUANTISED or not stated:
        return None
    step = f"{row.r_floor_paper:.3f} for {_bytes(row) / 1e9:.2f} GB, implies a step of {implied_ms(row):.2f} ms"
    return f"The paper's R_floor of {gpu} {model} {ctx}, {step}; {stated}"


def byte_accounting(figure: FloorFigure) -> str:
    """Returns a sentence on the input embedding in an R_floor of the paper, of which a step reads one row."""
    embedding_gb = (_bytes(figure) - _streamed_bytes(figure)) / 1e9
    share = streamed_share(figure) * figure.r_floor_paper
    counted = (
        f"{figure.gpu} {figure.model} {figure.ctx}: {embedding_gb:.2f} of the {_bytes(figure) / 1e9:.2f} GB that the "
        f"paper counts are the input embedding, of which a step reads one row. Its {figure.r_floor_paper:.3f} is "
        f"{share:.3f} in streamed bytes at the {implied_ms(figure):.2f} ms that it implies"
    )
    floor_ms = floors.floor_ms(_streamed_bytes(figure), figure.bandwidth_gbs)
    others = [f"{floor_ms / ms:.3f} at the {ms:g} ms of {source}" for source, ms in _steps_elsewhere(figure.spot)]
    return ", and ".join([counted, *others])


def _steps_elsewhere(spot: Spot) -> list[tuple[str, float]]:
    """Returns the unquantised eager steps of a cell in ms that the paper states outside its R_floor, with their
    place."""
    arms = [("the eager arm of its A/B", figure.a_ms) for figure in graphs_rows() if figure.spot == spot]
    beside = [
        ("the unquantised step beside its quantised ones", figure.step_ms)
        for figure in quantised_rows()
        if figure.spot == spot and figure.quant == UNQUANTISED
    ]
    return [(source, ms) for source, ms in (*arms, *beside) if ms is not None]


def two_steps_of(spots: Collection[Spot]) -> list[str]:
    """Returns the sentences of `two_steps` for these cells."""
    return [text for spot in sorted(spots) if (text := two_steps(*spot)) is not None]


def _figure(kind: type[Figure], row: Mapping[str, Any]) -> Figure:
    """Returns a figure with the datasheet bandwidth of its GPU; all GPUs of the paper have one."""
    return kind(**row, bandwidth_gbs=gpu(row["gpu"]).bandwidth_gbs.value or 0.0)
