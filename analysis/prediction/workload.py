"""The work of a step: the bytes and sizes that follow from the model's shape and a configuration."""

from __future__ import annotations

from dataclasses import dataclass

from runner import registry
from runner.cell import floors, protocol
from runner.cell.cell import Cell
from runner.cell.protocol import Protocol
from runner.cell.scheme import Scheme
from runner.cell.shape import ModelShape
from runner.cell.vocabulary import SYNTHETIC_ID

DYNAMIC = "dynamic"
PROTOCOL: Protocol = protocol.NAMED["paper"]
"""The protocol of the steps that are fitted and predicted."""


@dataclass(frozen=True, order=True)
class Configuration:
    """The part of a cell that decides how a step is executed, with the default dtype, attention and options."""

    quant: str
    kernel: str
    runtime: str
    cache: str

    @property
    def dtype(self) -> str:
        return registry.kernel(self.kernel).DECLARATION.dtypes[0]

    @property
    def options(self) -> dict[str, str]:
        """Returns the default options of the runtime and of synthetic weights."""
        packing = registry.weight_format(self.quant).DECLARATION.options
        return {
            **registry.runtime(self.runtime).DECLARATION.defaults,
            **{name: each[0] for name, each in packing.items()},
        }

    @property
    def scheme(self) -> Scheme | None:
        """Returns the packing of the weights, None if they are not packed."""
        if not registry.weight_format(self.quant).DECLARATION.packed:
            return None
        return registry.packed_format(self.quant).scheme(self.options)

    @property
    def is_one_kernel(self) -> bool:
        """Returns whether one kernel runs the whole step."""
        return registry.runtime(self.runtime).DECLARATION.kernels_per_step == 1

    def cell(self, gpu: str, model: str, ctx: int) -> Cell:
        """Returns the cell of this configuration, with synthetic weights."""
        attention = registry.runtime(self.runtime).DECLARATION.attentions[0]
        place = (gpu, model, ctx, self.quant, self.kernel, self.runtime)
        return Cell(*place, attention, self.cache, self.dtype, SYNTHETIC_ID, self.options)


@dataclass(frozen=True)
class Workload:
    """The work of a step.

    `matrices` are the bytes of the matrices of a layer as stored. `attended` is the number of positions that attention
    covers times the width of the queries, in millions: attention and the copies of its cache grow with it.
    """

    layers: int
    matrices: tuple[float, ...]
    head_bytes: float
    attended: float
    streamed_bytes: float


def workload(configuration: Configuration, shape: ModelShape, ctx: int) -> Workload:
    """Returns the work of a step at `ctx`. If one kernel is the step, a layer has one matrix: all that it streams."""
    dtype_bytes = floors.DTYPE_BYTES[configuration.dtype]
    streamed = streamed_bytes(configuration, shape, ctx)
    head_bytes = shape.embedding_parameters * dtype_bytes
    if configuration.is_one_kernel:
        return Workload(shape.layers, ((streamed - head_bytes) / shape.layers,), head_bytes, 0.0, streamed)
    positions = ctx if configuration.cache == DYNAMIC else floors.kv_alloc_tokens(ctx, PROTOCOL.warmup, PROTOCOL.steps)
    return Workload(
        layers=shape.layers,
        matrices=tuple(_matrix_bytes(configuration, rows, columns) for rows, columns in shape.linear_shapes),
        head_bytes=head_bytes,
        attended=positions * shape.q_width / 1e6,
        streamed_bytes=streamed,
    )


def layer_parameters(shape: ModelShape) -> int:
    """Returns the number of parameters of the layers' matrices."""
    return shape.layers * sum(rows * columns for rows, columns in shape.linear_shapes)


def streamed_bytes(configuration: Configuration, shape: ModelShape, ctx: int) -> float:
    """Returns the bytes that a step must read."""
    dtype_bytes = floors.DTYPE_BYTES[configuration.dtype]
    weights = registry.weight_bytes(configuration.quant, configuration.scheme, shape, dtype_bytes)
    kv = floors.kv_bytes_per_token(shape, dtype_bytes) * ctx
    return floors.bytes_streamed(weights, floors.embedding_bytes(shape, dtype_bytes), kv)


def _matrix_bytes(configuration: Configuration, rows: int, columns: int) -> float:
    scheme = configuration.scheme
    if scheme is None:
        return rows * columns * floors.DTYPE_BYTES[configuration.dtype]
    parts = registry.packed_format(configuration.quant).parts(rows, columns, scheme)
    return sum(part.bytes for part in parts.values())
