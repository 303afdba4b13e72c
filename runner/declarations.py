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

    from runner.record.sections.passes import Phases

MODE = "mode"
POISON = 1024.0
"""Value of cache rows that no step has written yet, exact in every dtype. A masked row has weight 0, so its value
changes nothing. A row that a step reads by mistake changes the logits."""


@dataclass(frozen=True)
class FormatDeclaration:
    """Properties of a weight format."""

    name: str
    packed: bool = True
    """whether the layers' matrices are quantised (see `PackedFormat`); otherwise they have the cell's dtype"""
    methods: tuple[str, ...] = ()
    """names of the format in a checkpoint's quantization_config"""
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """options of synthetic weights, each with its values, the default first"""
    may_be: tuple[str, ...] = ()
    """fields of a scheme that may be true"""
    group_sizes: tuple[int, ...] | None = None
    """supported group sizes; None for any"""

    def refuses(self, scheme: Scheme) -> str | None:
        """Returns why the format cannot have a scheme; None if it can."""
        if self.group_sizes is not None and scheme.group_size not in self.group_sizes:
            return f"{self.name} has groups of {', '.join(map(str, self.group_sizes))}, not of {scheme.group_size}"
        unsupported = [name for name, value in scheme.to_json().items() if value is True and name not in self.may_be]
        return f"{self.name} is never {', '.join(unsupported)}" if unsupported else None


READ_BACKS = 1
"""Copies of a step that is nothing but its own kernels: its token goes to the host."""
CAPTURE_WORKSPACE_BYTES = 2**27
"""Memory of a captured CUDA graph: cuBLAS's workspace of the captured stream (32 MiB on Hopper), and the driver's
copy of the graph (80 MB measured on an H200)."""


def _no_workspace(_shape: ModelShape) -> int:
    return 0


def _refuses_none(_scheme: Scheme, _quant: str) -> str | None:
    return None


def _every_matrix(shape: ModelShape) -> int:
    """Returns the number of the layers' matrices. A step without fusion multiplies once by each."""
    return shape.layers * len(shape.linear_shapes)


@dataclass(frozen=True)
class KernelDeclaration:
    """Properties of a kernel: the weights it multiplies, and the devices it runs on."""

    name: str
    quants: tuple[str, ...]
    dtypes: tuple[str, ...]
    """the first is the default"""
    devices: tuple[str, ...]
    signatures: tuple[str, ...]
    """substrings of its matrix products' names in a profile"""
    deterministic: bool
    """whether the same input always gives the same bits"""
    capturable: bool
    """whether a CUDA graph can capture it"""
    package: str | None = None
    """distribution that provides it; None for torch itself"""
    module: str | None = None
    """module that is imported"""
    remedy: str | None = None
    """how to install the package"""
    installation: Installation = field(default_factory=Installation)
    """how images and bundles install the package"""
    capability: tuple[int, int] | None = None
    """minimum compute capability of the GPU; None for torch's own minimum"""
    tried: tuple[str, ...] | None = None
    """compute capabilities of which sessions with this project's own kernel are committed; None for other kernels"""
    stacks: tuple[str, ...] = ("modern",)
    default_of: tuple[str, ...] = ()
    """quants for which it is the default kernel on its devices"""
    refuses: Callable[[Scheme, str], str | None] = _refuses_none
    """returns why it cannot multiply a quant's weights in a scheme; None if it can"""
    runtimes: tuple[str, ...] | None = None
    """runtimes that it supports; None for any"""
    workspace_bytes: Callable[[ModelShape], int] = _no_workspace
    """bytes that its layers allocate in addition to the packed weights"""
    launches_per_product: int = 1
    """least number of launches per matrix product that match `signatures`"""
    bounds: Mapping[str, Mapping[str, StatedBound]] = field(default_factory=dict)
    """its own bounds in the gate, by quant and dtype; the dtype's bound applies otherwise"""


@dataclass(frozen=True)
class RuntimeDeclaration:
    """Properties of a runtime: the cells it can execute, and the devices it runs on."""

    name: str
    devices: tuple[str, ...]
    caches: tuple[str, ...]
    """the first is the default"""
    attentions: tuple[str, ...]
    """the first is the default"""
    graph_mode: str
    """launches of its steps: `none` (kernel by kernel), `whole-step` (one CUDA graph per step), or `partial`"""
    prefill_chunk_tokens: int
    """maximum number of prompt tokens in one forward pass of prefill"""
    quants: tuple[str, ...] | None = None
    """None for any"""
    kernels: tuple[str, ...] | None = None
    """None for any"""
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """its options, each with its values"""
    defaults: dict[str, str] = field(default_factory=dict)
    """values of options that the cell always names"""
    graph_modes: dict[str, str] = field(default_factory=dict)
    """graph modes by the value of the option `mode`, in place of `graph_mode`"""
    made_of_eager: bool = False
    """whether its step is made of an eager one, and compared with it"""
    replays_eager: bool = False
    """whether its step runs the same kernels as the eager step"""
    compiles: bool = False
    """whether it compiles its own kernels, a separate phase of the session"""
    owns_model: bool = False
    """whether it has its own linear layers instead of the kernel's in a transformers model"""
    workspace_bytes: int = 0
    """bytes that its step allocates in addition to weights, kernel workspace and KV cache"""
    products: Callable[[ModelShape], int] = _every_matrix
    """returns the least number of the kernel's matrix products per step: fewer than the layers have matrices if some
    are fused, 1 if one kernel runs the whole step"""
    kernels_per_step: int | None = None
    """exact number of kernels in a profiled step, which then has no copy but the read-back; None if it is not fixed"""
    bounds: Mapping[str, StatedBound] = field(default_factory=dict)
    """its own bounds in the gate, by dtype; the kernel's or the dtype's bound applies otherwise"""
    package: str | None = None
    """distribution that provides it; None for torch itself"""
    module: str | None = None
    """module that is imported"""
    remedy: str | None = None
    """how to install the package"""
    companions: tuple[str, ...] = ()
    """distributions that the package calls, whose versions `env_key` takes, too"""
    installation: Installation = field(default_factory=Installation)
    """how images and bundles install the package, unless a kernel's declaration has it"""

    def graph_mode_with(self, options: Mapping[str, str]) -> str:
        """Returns the graph mode of a cell with these options."""
        return self.graph_modes.get(options.get(MODE, ""), self.graph_mode)


class Step(Protocol):
    """One decode step, the unit of measurement: consumes a token, leaves logits, chooses the next token, advances."""

    runtime: str
    """Name of the runtime that this object implements, independent of the cell."""

    logits: torch.Tensor
    """Logits [vocab] of the last call."""

    @property
    def eager(self) -> Step | None:
        """Returns the same step launched kernel by kernel over the same buffers; None if this is that step."""
        ...

    @property
    def cache_kind(self) -> str:
        """Returns `dynamic`, `static` or `engine`, read off the live cache, independent of the cell."""
        ...

    @property
    def settings(self) -> Mapping[str, str]:
        """Returns the settings that an engine chose on this machine; empty for the transformers model."""
        ...

    def prefill(self, tokens: int) -> torch.Tensor:
        """Refills the cache with the first `tokens` tokens of the sequence. Returns the chosen token, shape [1]."""
        ...

    def restart(self, position: int) -> None:
        """Moves back to `position`: the next call consumes the sequence's token there, over the earlier cache rows."""
        ...

    def __call__(self) -> torch.Tensor:
        """Runs one step on the device without waiting for it. Returns the chosen token, shape [1]."""
        ...

    def poison(self, position: int) -> None:
        """Overwrites the logits with NaN, and the allocated cache rows from `position` on with `POISON`.

        The steps from `position` on must write both before they read them.
        """
        ...

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Returns the cache rows of positions [start, stop) as [n, tensors, values].

        Keys and values of a layer are two tensors. n is smaller if the cache ends earlier.
        """
        ...

    def stuck(self) -> str | None:
        """Returns what a kernel of the step waited for when it gave up, one line; None if none did.

        It needs no device: after such a failure every call of CUDA fails.
        """
        ...

    def phases(self) -> Phases | None:
        """Returns the clocks of a kernel's phases, from steps of an instrumented build that run now; None without one.

        It begins at the current position, as `restart` left it.
        """
        ...


class Tokens(Protocol):
    """Tokens of a session, on the device: prompt and trace, and the choice of the token that a step consumes."""

    @property
    def sequence(self) -> torch.Tensor:
        """Returns prompt and trace, shape [tokens]."""
        ...

    @property
    def forced(self) -> torch.Tensor:
        """Returns a flag of shape [1]. While true, a step consumes the trace instead of the chosen token."""
        ...

    def next(self, position: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Returns the token to consume at `position` [1]: the trace's while `forced`, otherwise `chosen` [1]."""
        ...
