"""Planted mutants of packed weights: what a kernel that reads a format wrongly would do, and one that reads memory
which has been given to another.

The first kind changes what the kernel's layers are made of, after reference and trusted eager have read the weights;
the second overwrites the memory that the kernel's layers point to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from typing import Any

import torch
from torch import nn

from runner.formats import _int4
from runner.worker import model
from runner.worker.plainlinear import PlainLinear, plain_linears
from tests.support.mutants import one_behind

Tensors = dict[str, torch.Tensor]
Change = Callable[[PlainLinear], Tensors]


def zero_point(by: int) -> Change:
    """Every zero point off by one."""

    def change(plain: PlainLinear) -> Tensors:
        zeros = _int4.unpack(plain.tensors["qzeros"]) + by
        return {**plain.tensors, "qzeros": _int4.pack(zeros.clamp(0, _int4.LARGEST))}

    return change


def wrong_group(plain: PlainLinear) -> Tensors:
    """Scales and zero points are looked up as if groups were twice as large."""
    found = dict(plain.tensors)
    for name in ("scales", "qzeros", "weight.absmax"):
        if name in found:
            halves = torch.arange(len(found[name]), device=found[name].device) // 2
            found[name] = found[name][halves].contiguous()
    return found


@contextmanager
def stale_buffers(built: nn.Module) -> Iterator[None]:
    """Every kernel layer's packed weights have been overwritten by another allocation: here, by themselves moved on."""
    for layer in built.model.layers:
        for module in chain(layer.self_attn.children(), layer.mlp.children()):
            if packed := [tensor for tensor in tensors_of(module) if not tensor.is_floating_point()]:
                codes = max(packed, key=lambda tensor: tensor.nbytes)
                codes.copy_(codes.roll(1, dims=0))
    yield


@contextmanager
def stale_engine(step: Any) -> Iterator[None]:
    """The same in the exllamav2 engine."""
    for module in step._engine.modules_dict.values():
        if packed := getattr(module, "q_tensors", None):
            packed["qweight"].copy_(packed["qweight"].roll(1, dims=0))
    yield


def _row_changed(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Any], AbstractContextManager[None]]:
    """The engine writes and reads a step's row in one kernel: the row [1, kv_heads, head_dim] is changed behind the
    step, and the steps after it read that."""

    @contextmanager
    def planted(step: Any) -> Iterator[None]:
        forward = step._forward

        def changed(tokens: torch.Tensor) -> None:
            position = step._cache.current_seq_len
            forward(tokens)
            for tensor in step._cache_tensors() if len(tokens) == 1 else ():
                tensor[:, position] = change(tensor[:, position])

        step._forward = changed
        yield

    return planted


@contextmanager
def _rotated_too_far(step: Any) -> Iterator[None]:
    """The engine's steps rotate by position + 1; its prefill is right."""
    forward = step._engine.forward

    def shifted(tokens: torch.Tensor, *rest: Any, **named: Any) -> Any:
        offset = torch.ones(1, 1, dtype=torch.int) if tokens.shape[-1] == 1 else None
        return forward(tokens, *rest, position_offsets=offset, **named)

    step._engine.forward = shifted
    yield


@contextmanager
def _stale_token(step: Any) -> Iterator[None]:
    """Each step consumes the token before the one it should."""
    step._tokens = one_behind(step._tokens)
    yield


# those of tests/support/mutants.py that a kernel's step can have, as the engine can have them
ENGINE_MUTANTS: dict[str, Callable[[Any], AbstractContextManager[None]]] = {
    "newest-kv-row-dropped": _row_changed(torch.zeros_like),
    "kv-head-swapped": _row_changed(lambda row: torch.cat((row[:, 1:2], row[:, :1], row[:, 2:]), dim=1)),
    "rope-off-by-one": _rotated_too_far,
    "stale-input": _stale_token,
}


def tensors_of(module: nn.Module) -> list[torch.Tensor]:
    """All that a kernel's layer holds, however it holds it."""
    own = getattr(module, "tensors", {})
    return [*module.parameters(), *module.buffers(), *own.values()]


WRONG_GROUP: Mapping[str, Change] = {"wrong-group": wrong_group}
ZERO_POINTS: Mapping[str, Change] = {"zero-point+1": zero_point(1), "zero-point-1": zero_point(-1)}


def changes(quant: str, sym: bool) -> Mapping[str, Change]:
    """Those that weights of this kind can have: a symmetric kernel reads no zero points."""
    return WRONG_GROUP if quant == "bnb-nf4" or sym else {**WRONG_GROUP, **ZERO_POINTS}


@contextmanager
def kernel_in(built: Any, kernel: str, change: Change | None = None) -> Iterator[Any]:
    """The model on the kernel, its layers made of changed copies; the plain layers are put back afterwards."""
    plains = plain_linears(built)
    for name, plain in plains.items():
        tensors = plain.tensors if change is None else change(plain)
        copies = {part: tensor.clone() for part, tensor in tensors.items()}
        built.set_submodule(
            name,
            PlainLinear(plain.quant, plain.scheme, plain.shape, copies, plain.bias, plain.dtype),
        )
    model.use_kernel(built, kernel)
    try:
        yield built
    finally:
        for name, plain in plains.items():
            built.set_submodule(name, plain)
