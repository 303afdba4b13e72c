"""Protocols that the modules of formats, kernels and runtimes fulfil."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from runner.cell.scheme import Part, Scheme
from runner.declarations import FormatDeclaration, KernelDeclaration, RuntimeDeclaration, Step, Tokens

if TYPE_CHECKING:
    import torch

    from runner.job import Job


class WeightFormat(Protocol):
    DECLARATION: FormatDeclaration


class PackedFormat(WeightFormat, Protocol):
    """Packing and plain arithmetic of a quantised format, one linear layer [rows, columns] = [out, in] at a time."""

    def scheme(self, options: Mapping[str, str]) -> Scheme:
        """The scheme of synthetic weights."""
        ...

    def read_config(self, config: Mapping[str, Any]) -> Scheme:
        """The scheme of a checkpoint's quantization_config. Raises BadCheckpoint for one that is not read."""
        ...

    def parts(self, rows: int, columns: int, how: Scheme) -> dict[str, Part]:
        """The tensors that a step needs, by name."""
        ...

    def stored(self, rows: int, columns: int, how: Scheme) -> dict[str, Part]:
        """The tensors that a checkpoint holds; a dimension of -1 is any."""
        ...

    def from_stored(self, tensors: Mapping[str, torch.Tensor], how: Scheme) -> dict[str, torch.Tensor]:
        """The tensors that a step needs, from stored ones. Raises BadCheckpoint where they contradict the scheme."""
        ...

    def to_stored(self, tensors: Mapping[str, torch.Tensor], how: Scheme, columns: int) -> dict[str, torch.Tensor]:
        """The inverse of `from_stored`; only a format that an engine reads from a folder has it."""
        ...

    def config_of(self, how: Scheme) -> dict[str, Any]:
        """The inverse of `read_config`; the same formats have it."""
        ...

    def quantise(self, weight: torch.Tensor, how: Scheme) -> dict[str, torch.Tensor]:
        """The packed tensors of weight [out, in], each value rounded to the nearest."""
        ...

    def dequantise(self, tensors: Mapping[str, torch.Tensor], how: Scheme, columns: int, rows: slice) -> torch.Tensor:
        """The rows (in multiples of eight) of the matrix by plain arithmetic, [rows, in] float32."""
        ...


class PackedLayer(Protocol):
    """A linear layer [rows, columns] whose weight is packed in `tensors`; `dtype` and `device` are the cell's."""

    quant: str
    scheme: Scheme
    tensors: dict[str, torch.Tensor]
    rows: int
    columns: int
    bias: torch.nn.Parameter | None
    dtype: torch.dtype

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def device(self) -> torch.device: ...


class Kernel(Protocol):
    DECLARATION: KernelDeclaration


class PackedKernel(Kernel, Protocol):
    def linears(self, layers: Sequence[PackedLayer]) -> Iterator[torch.nn.Module]:
        """The kernel's own layer for each of the model's, made when it is asked for; it takes over the tensors."""
        ...


class PlainKernel(Kernel, Protocol):
    """A kernel with layers of its own for unquantised weights; one without `linears` leaves torch's."""

    def linears(self, layers: Sequence[torch.nn.Linear]) -> Iterator[torch.nn.Module]:
        """The kernel's own layer for each of the decoder's, made when it is asked for."""
        ...


class Runtime(Protocol):
    DECLARATION: RuntimeDeclaration

    def build(self, model: Any, tokens: Tokens, job: Job) -> Step: ...
