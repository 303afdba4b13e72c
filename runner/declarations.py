"""Declarations of formats, kernels and runtimes, and the step that a runtime makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from runner.cell.scheme import Scheme
from runner.cell.shape import ModelShape
from runner.installation import Installation
from runner.record.statedbound import StatedBound

if TYPE_CHECKING:
    import torch

MODE = "mode"
POISON = 1024.0
"""Stands in cache rows that no step has written yet. Every dtype holds it exactly. A masked row's weight is exactly 0,
so that it changes nothing; a row that is read is seen in the logits."""


@dataclass(frozen=True)
class FormatDeclaration:
    """A way of storing weights."""

    name: str
    packed: bool = True
    """True if the layers' matrices are quantised (see `PackedFormat`), False if they are of the cell's dtype"""
    methods: tuple[str, ...] = ()
    """names of the format in a checkpoint's quantization_config"""
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """choices that synthetic weights leave, each with its values, the default first"""
    may_be: tuple[str, ...] = ()
    """fields of a scheme that may be true"""
    group_sizes: tuple[int, ...] | None = None
    """sizes of its groups; None where any goes"""

    def refuses(self, scheme: Scheme) -> str | None:
        """Returns why its weights are never packed so, None where they may be."""
        if self.group_sizes is not None and scheme.group_size not in self.group_sizes:
            return f"{self.name} has groups of {', '.join(map(str, self.group_sizes))}, not of {scheme.group_size}"
        strange = [name for name, value in scheme.to_json().items() if value is True and name not in self.may_be]
        return f"{self.name} is never {', '.join(strange)}" if strange else None


CAPTURE_WORKSPACE_BYTES = 2**27
"""What capturing a CUDA graph takes: cuBLAS's workspace of the stream that is captured (32 MiB on Hopper), and what the
driver keeps of the graph (80 MB were seen on an H200)."""


def _no_workspace(_shape: ModelShape) -> int:
    return 0


def _refuses_none(_scheme: Scheme, _quant: str) -> str | None:
    return None


def _every_matrix(shape: ModelShape) -> int:
    """Returns the number of the layers' matrices: a step that fuses none multiplies by each of them once."""
    return shape.layers * len(shape.linear_shapes)


@dataclass(frozen=True)
class KernelDeclaration:
    """What a kernel multiplies and where."""

    name: str
    quants: tuple[str, ...]
    dtypes: tuple[str, ...]
    """the first is the default"""
    devices: tuple[str, ...]
    signatures: tuple[str, ...]
    """parts of the names under which its matrix products show in a profile"""
    deterministic: bool
    """True if the same input gives the same bits again"""
    capturable: bool
    """True if a CUDA graph can hold it"""
    package: str | None = None
    """distribution that it comes in; None for torch itself"""
    module: str | None = None
    """what is imported of the package"""
    remedy: str | None = None
    """how one gets the package"""
    installation: Installation = field(default_factory=Installation)
    """how images and bundles get the package"""
    capability: tuple[int, int] | None = None
    """least compute capability of a card; None where torch's own limit holds"""
    stacks: tuple[str, ...] = ("modern",)
    default_of: tuple[str, ...] = ()
    """quants whose default kernel it is on its devices"""
    refuses: Callable[[Scheme, str], str | None] = _refuses_none
    """returns why it cannot multiply a quant's weights packed by a scheme, None where it can"""
    runtimes: tuple[str, ...] | None = None
    """runtimes that it goes with; None where any goes"""
    workspace_bytes: Callable[[ModelShape], int] = _no_workspace
    """bytes that its layers hold beside the packed weights"""
    launches_per_product: int = 1
    """kernels named in `signatures` that one matrix product launches at least"""
    bounds: Mapping[str, Mapping[str, StatedBound]] = field(default_factory=dict)
    """its own bounds in the gate, by quant and dtype; the dtype's bound holds where it states none"""


@dataclass(frozen=True)
class RuntimeDeclaration:
    """What a runtime can execute, and where."""

    name: str
    devices: tuple[str, ...]
    caches: tuple[str, ...]
    """the first is the default"""
    attentions: tuple[str, ...]
    """the first is the default"""
    graph_mode: str
    """how its steps are launched: `none` kernel by kernel, `whole-step` by one CUDA graph each, or `partial`"""
    prefill_chunk_tokens: int
    """the most tokens of the prompt that prefill passes at once"""
    quants: tuple[str, ...] | None = None
    """None where any goes"""
    kernels: tuple[str, ...] | None = None
    """None where any goes"""
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """values of each option that it takes"""
    defaults: dict[str, str] = field(default_factory=dict)
    """values of the options that are always written into the cell"""
    graph_modes: dict[str, str] = field(default_factory=dict)
    """graph modes by the value of the option `mode`, in place of `graph_mode`"""
    made_of_eager: bool = False
    """True if its step is made of an eager one, and is compared with it"""
    replays_eager: bool = False
    """True if its step runs the eager step's very kernels"""
    compiles: bool = False
    """True if it makes kernels of its own, which takes time that no other runtime needs"""
    owns_model: bool = False
    """True if its linear layers are its own, not the kernel's of a transformers model"""
    workspace_bytes: int = 0
    """bytes that its step holds beside weights, the kernel's workspace and the KV cache"""
    products: Callable[[ModelShape], int] = _every_matrix
    """matrix products of the cell's kernel in a step at least: fewer than the layers have matrices where some are
    fused, 1 where one kernel runs the whole step"""
    bounds: Mapping[str, StatedBound] = field(default_factory=dict)
    """its own bounds in the gate, by dtype; the kernel's or the dtype's bound holds where it states none"""
    package: str | None = None
    """distribution that it comes in; None for torch itself"""
    module: str | None = None
    """what is imported of the package"""
    remedy: str | None = None
    """how one gets the package"""
    installation: Installation = field(default_factory=Installation)
    """how images and bundles get the package, where no kernel's declaration says it"""

    def graph_mode_with(self, options: Mapping[str, str]) -> str:
        """Returns how a cell's steps are launched, given its options."""
        return self.graph_modes.get(options.get(MODE, ""), self.graph_mode)


class Step(Protocol):
    """One decode step, the unit being measured: reads a token, leaves logits, chooses the next token, advances."""

    runtime: str
    """The word for what this object is, whatever was asked for."""

    logits: torch.Tensor
    """[vocab], left by the last call."""

    @property
    def eager(self) -> Step | None:
        """The same step launched kernel by kernel, over the same buffers; None where the step is that itself."""
        ...

    @property
    def cache_seen(self) -> str:
        """`dynamic`, `static` or `engine`: what the live cache shows itself to be, whatever was asked for."""
        ...

    @property
    def settings(self) -> Mapping[str, str]:
        """What an engine of its own chose on this machine; empty for the transformers model."""
        ...

    def prefill(self, tokens: int) -> torch.Tensor:
        """Empty the cache, fill it with the first `tokens` of the sequence, return the chosen token, shape [1]."""
        ...

    def restart(self, position: int) -> None:
        """Go back to `position`: the next call consumes the sequence's token there, over the cache rows before it."""
        ...

    def __call__(self) -> torch.Tensor:
        """Run one step on the device without waiting for it; returns the chosen token, shape [1]."""
        ...

    def spoil(self, position: int) -> None:
        """Overwrite what the steps from `position` on must write before they read it: the logits with NaN, and the
        cache rows from `position` on, where they are allocated, with `POISON`."""
        ...

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Returns the cache rows of positions [start, stop) as [n, tensors, values]; keys and values of each layer are
        tensors of their own, and n is smaller where the cache ends sooner."""
        ...


class Tokens(Protocol):
    """The tokens of a session, on the device: prompt and trace, and which of them a step consumes."""

    @property
    def sequence(self) -> torch.Tensor:
        """[tokens], prompt and trace."""
        ...

    @property
    def forced(self) -> torch.Tensor:
        """[1]. While it is true a step consumes the trace whatever was chosen."""
        ...

    def next(self, position: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Returns the token to consume at `position` [1], shape [1]."""
        ...
