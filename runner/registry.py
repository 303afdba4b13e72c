"""The three registries: formats, kernels, runtimes. Each entry is one module; adding one touches no other file.

A module is named after its entry with `-` written `_`. It can be imported without torch: what needs torch imports it
inside its functions, so that the parent can ask what exists before any worker starts.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, cast

from runner import formats, kernels, runtimes
from runner.shape import ModelShape

if TYPE_CHECKING:
    import torch

    from runner.worker.job import Job
    from runner.worker.tokens import Tokens

MODE = "mode"


@dataclass(frozen=True)
class KernelDeclaration:
    """What a kernel multiplies and where. `signatures` are parts of the names under which its matrix products show in
    a profile; `deterministic` says that the same input gives the same bits again; `capturable`, that a CUDA graph can
    hold it; `package` is the distribution it comes in, None for torch itself."""

    name: str
    quants: tuple[str, ...]
    dtypes: tuple[str, ...]
    devices: tuple[str, ...]
    signatures: tuple[str, ...]
    deterministic: bool
    capturable: bool
    package: str | None = None


@dataclass(frozen=True)
class RuntimeDeclaration:
    """What a runtime can execute, and where. The first cache and attention named are its defaults; prefill passes at
    most `prefill_chunk_tokens` of the prompt at once; `options` maps each option it takes to the values allowed, and
    `defaults` those that are always written into the cell to their values.

    `graph_mode` is how its steps are launched (`none` kernel by kernel, `whole-step` by one CUDA graph each), unless
    the option `mode` says otherwise by `graph_modes`. `made_of_eager`: its step is made of an eager one, and is held
    against it. `replays_eager`: it runs that one's very kernels. `compiles`: it makes kernels of its own, which takes
    time that no other runtime needs.
    """

    name: str
    devices: tuple[str, ...]
    caches: tuple[str, ...]
    attentions: tuple[str, ...]
    quants: tuple[str, ...]
    graph_mode: str
    prefill_chunk_tokens: int
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)
    graph_modes: dict[str, str] = field(default_factory=dict)
    made_of_eager: bool = False
    replays_eager: bool = False
    compiles: bool = False

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

    def prefill(self, tokens: int) -> torch.Tensor:
        """Empty the cache, fill it with the first `tokens` of the sequence, return the chosen token, shape [1]."""
        ...

    def restart(self, position: int) -> None:
        """Go back to `position`: the next call consumes the sequence's token there, over the cache rows before it."""
        ...

    def __call__(self) -> torch.Tensor:
        """Run one step on the device without waiting for it; returns the chosen token, shape [1]."""
        ...


class WeightFormat(Protocol):
    def weight_bytes(self, shape: ModelShape, dtype_bytes: int) -> int: ...


class Kernel(Protocol):
    DECLARATION: KernelDeclaration


class Runtime(Protocol):
    DECLARATION: RuntimeDeclaration

    def build(self, model: Any, tokens: Tokens, job: Job) -> Step: ...


def _names(package: ModuleType) -> tuple[str, ...]:
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(package.__path__)))


def _load(package: ModuleType, name: str) -> Any:
    return importlib.import_module(f"{package.__name__}.{name.replace('-', '_')}")


def format_names() -> tuple[str, ...]:
    """Quants this version can build."""
    return _names(formats)


def kernel_names() -> tuple[str, ...]:
    """Kernels this version can run."""
    return _names(kernels)


def runtime_names() -> tuple[str, ...]:
    """Runtimes this version can run."""
    return _names(runtimes)


def weight_format(quant: str) -> WeightFormat:
    """The module of a format; `quant` must be one of `format_names()`."""
    return cast(WeightFormat, _load(formats, quant))


def kernel(name: str) -> Kernel:
    """The module of a kernel; `name` must be one of `kernel_names()`."""
    return cast(Kernel, _load(kernels, name))


def runtime(name: str) -> Runtime:
    """The module of a runtime; `name` must be one of `runtime_names()`."""
    return cast(Runtime, _load(runtimes, name))
