"""Protocols of the modules of formats, kernels and runtimes."""

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
    """Packing and plain arithmetic of a quantised format, for a linear layer [rows, columns] = [out, in]."""

    def scheme(self, options: Mapping[str, str]) -> Scheme:
        """Returns the scheme of synthetic weights."""
        ...

    def read_config(self, config: Mapping[str, Any]) -> Scheme:
        """Returns the scheme of a checkpoint's quantization_config.

        Raises BadCheckpoint for a layout that is not supported.
        """
        ...

    def parts(self, rows: int, columns: int, scheme: Scheme) -> dict[str, Part]:
        """Returns the tensors that a step needs, by name."""
        ...

    def stored(self, rows: int, columns: int, scheme: Scheme) -> dict[str, Part]:
        """Returns the tensors that a checkpoint stores. A dimension of -1 may have any size."""
        ...

    def from_stored(self, tensors: Mapping[str, torch.Tensor], scheme: Scheme) -> dict[str, torch.Tensor]:
        """Returns the tensors that a step needs, from the stored ones.

        Raises BadCheckpoint if they contradict the scheme.
        """
        ...

    def to_stored(self, tensors: Mapping[str, torch.Tensor], scheme: Scheme, columns: int) -> dict[str, torch.Tensor]:
        """Returns the stored tensors: the inverse of `from_stored`.

        Only formats that an engine reads from a folder have it.
        """
        ...

    def config_of(self, scheme: Scheme) -> dict[str, Any]:
        """Returns the quantization_config: the inverse of `read_config`, in the formats that have `to_stored`."""
        ...

    def quantise(self, weight: torch.Tensor, scheme: Scheme) -> dict[str, torch.Tensor]:
        """Packs weight [out, in], each value rounded to the nearest."""
        ...

    def dequantise(
        self, tensors: Mapping[str, torch.Tensor], scheme: Scheme, columns: int, rows: slice
    ) -> torch.Tensor:
        """Returns rows of the matrix by plain arithmetic, [rows, in] float32.

        `rows` starts and stops at multiples of eight.
        """
        ...


class PackedLayer(Protocol):
    """A linear layer [rows, columns] with packed weights in `tensors`. `dtype` and `device` are the cell's."""

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
        """Yields the kernel's own layer for each of the model's, made on demand. It takes over the tensors."""
        ...


class PlainKernel(Kernel, Protocol):
    """A kernel for unquantised weights. Without `linears` the layers stay torch's."""

    def linears(self, layers: Sequence[torch.nn.Linear]) -> Iterator[torch.nn.Module]:
        """Yields the kernel's own layer for each of the decoder's, made on demand."""
        ...


class Runtime(Protocol):
    DECLARATION: RuntimeDeclaration

    def build(self, model: Any, tokens: Tokens, job: Job) -> Step: ...
