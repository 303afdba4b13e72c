"""Declarations of formats, kernels and runtimes, and the step that a runtime makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from runner.cell.scheme import Scheme
from runner.cell.shape import ModelShape
from runner.record.statedbound import StatedBound

if TYPE_CHECKING:
    import torch

MODE = "mode"
POISON = 1024.0
"""Stands in cache rows that no step has written yet. Every dtype holds it exactly. A masked row's weight is exactly 0,
so that it changes nothing; a row that is read is seen in the logits."""


@dataclass(frozen=True)
class FormatDeclaration:
    """A way of storing weights. `packed`: the layers' linear weights are quantised and the module says how (see
    `PackedFormat`); otherwise they are of the cell's dtype like all others. `methods` are the words by which a
    checkpoint's quantization_config calls it; `options` maps each choice that synthetic weights leave to its values,
    the default first. Of a scheme's fields that are true or false its weights may have those `may_be` names, and their
    groups are of `group_sizes`, None where any goes."""

    name: str
    packed: bool = True
    methods: tuple[str, ...] = ()
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    may_be: tuple[str, ...] = ()
    group_sizes: tuple[int, ...] | None = None

    def refuses(self, scheme: Scheme) -> str | None:
        """Why its weights are never packed so, None where they may be."""
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
    """What a kernel multiplies and where. `signatures` are parts of the names under which its matrix products show in
    a profile; `deterministic` says that the same input gives the same bits again; `capturable`, that a CUDA graph can
    hold it; `package` is the distribution it comes in, None for torch itself, `module` what is imported of it, and
    `remedy` how one gets it, in the `stacks` that it lives in. `capability` is the least compute capability of a card
    that it runs on, None where any will do on which torch runs. `workspace_bytes` is what its layers hold beside the
    packed weights, by the model's shape. `launches_per_product` is how many kernels named in `signatures` one matrix
    product launches, at least. `runtimes` is None where any goes. `bounds` maps a quant and a dtype to the kernel's own
    bound in the gate; without one, the dtype's bound holds.

    The first dtype is its default; it is the default kernel of the quants in `default_of`; `refuses` says why it cannot
    multiply a quant's weights packed by a scheme, None where it can.
    """

    name: str
    quants: tuple[str, ...]
    dtypes: tuple[str, ...]
    devices: tuple[str, ...]
    signatures: tuple[str, ...]
    deterministic: bool
    capturable: bool
    package: str | None = None
    module: str | None = None
    remedy: str | None = None
    capability: tuple[int, int] | None = None
    stacks: tuple[str, ...] = ("modern",)
    default_of: tuple[str, ...] = ()
    refuses: Callable[[Scheme, str], str | None] = _refuses_none
    workspace_bytes: Callable[[ModelShape], int] = _no_workspace
    launches_per_product: int = 1
    runtimes: tuple[str, ...] | None = None
    bounds: Mapping[str, Mapping[str, StatedBound]] = field(default_factory=dict)


@dataclass(frozen=True)
class RuntimeDeclaration:
    """What a runtime can execute, and where; `package`, `module` and `remedy` as of a kernel. The first cache and
    attention named are its defaults; prefill passes at most `prefill_chunk_tokens` of the prompt at once; `quants` and
    `kernels` are None where any goes; `options` maps each option it takes to the values allowed, and `defaults` those
    that are always written into the cell to their values.

    `graph_mode` is how its steps are launched (`none` kernel by kernel, `whole-step` by one CUDA graph each), unless
    the option `mode` says otherwise by `graph_modes`. `made_of_eager`: its step is made of an eager one, and is held
    against it. `replays_eager`: it runs that one's very kernels. `compiles`: it makes kernels of its own, which takes
    time that no other runtime needs. `owns_model`: its linear layers are its own, not the kernel's of a transformers
    model. `workspace_bytes` is what its step holds beside weights, kernel's workspace and KV cache.

    `products` is how many matrix products of the cell's kernel a step has at least, by the model's shape: fewer than
    the layers have matrices where some are fused, 1 where one kernel runs the whole step. `bounds` maps a dtype to the
    runtime's own bound in the gate, which goes before the kernel's.
    """

    name: str
    devices: tuple[str, ...]
    caches: tuple[str, ...]
    attentions: tuple[str, ...]
    graph_mode: str
    prefill_chunk_tokens: int
    quants: tuple[str, ...] | None = None
    kernels: tuple[str, ...] | None = None
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)
    graph_modes: dict[str, str] = field(default_factory=dict)
    made_of_eager: bool = False
    replays_eager: bool = False
    compiles: bool = False
    owns_model: bool = False
    workspace_bytes: int = 0
    products: Callable[[ModelShape], int] = _every_matrix
    bounds: Mapping[str, StatedBound] = field(default_factory=dict)
    package: str | None = None
    module: str | None = None
    remedy: str | None = None

    def graph_mode_with(self, options: Mapping[str, str]) -> str:
        """How a cell's steps are launched, given its options."""
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
