"""Planted mutants of the decode path: each breaks one thing that a fast wrong implementation would break.

They are injected into the step under test from outside the worker's sources, after the expectation was computed, and
taken out again. `docs/mutants.md` has the errors that each one showed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch

from runner.runtimes.eager import EagerStep
from runner.runtimes.graph import GraphStep
from runner.worker import caches

Mutant = Callable[[EagerStep], AbstractContextManager[None]]


@contextmanager
def newest_kv_row_dropped(step: EagerStep) -> Iterator[None]:
    """The row of the token being decoded never reaches the cache: zeros stand in its place."""
    with _update(step, lambda keys, values: (torch.zeros_like(keys), torch.zeros_like(values))):
        yield


@contextmanager
def kv_head_swapped(step: EagerStep) -> Iterator[None]:
    """The newest row's first two KV heads change places."""

    def swapped(keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first, second = ((rows[:, 1:2], rows[:, :1], rows[:, 2:]) for rows in (keys, values))
        return torch.cat(first, dim=1), torch.cat(second, dim=1)

    with _update(step, swapped):
        yield


@contextmanager
def rope_off_by_one(step: EagerStep) -> Iterator[None]:
    """Decode rotates by position + 1; prefill is right."""
    forward = step.forward

    def shifted(tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return forward(tokens, positions + 1 if len(positions) == 1 else positions)

    with _replaced(step, "forward", shifted):
        yield


@contextmanager
def no_bias(step: EagerStep) -> Iterator[None]:
    """Biases are ignored in prefill and decode."""
    with _parameters_set(step.model, lambda name: name.endswith("bias"), 0.0):
        yield


@contextmanager
def norms_ignored(step: EagerStep) -> Iterator[None]:
    """RMSNorm weights are taken for ones in prefill and decode."""
    with _parameters_set(step.model, lambda name: "norm" in name and name.endswith("weight"), 1.0):
        yield


@contextmanager
def stale_input(step: EagerStep) -> Iterator[None]:
    """Each step consumes the token before the one it should."""
    with _replaced(step, "tokens", one_behind(step.tokens)):
        yield


def one_behind(tokens: Any) -> Any:
    """Returns tokens that give, at each position, the one before it."""

    class Stale:
        sequence, forced = tokens.sequence, tokens.forced

        def next(self, position: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
            return tokens.next(position - 1, chosen)

    return Stale()


@contextmanager
def weights_in_int8(step: EagerStep) -> Iterator[None]:
    """The layers' weights are rounded to int8, one scale a row: half the bytes, and nearly the answer."""
    linears = [
        module for layer in step.model.model.layers for module in layer.modules() if hasattr(module, "in_features")
    ]
    kept = [module.weight.data for module in linears]
    for module, weight in zip(linears, kept, strict=True):
        scale = weight.float().abs().amax(dim=1, keepdim=True) / 127
        module.weight.data = ((weight.float() / scale).round() * scale).to(weight.dtype)
    try:
        yield
    finally:
        for module, weight in zip(linears, kept, strict=True):
            module.weight.data = weight


@contextmanager
def cache_in_fp8(step: EagerStep) -> Iterator[None]:
    """Keys and values are rounded to float8 (e4m3) on their way into the cache."""

    def rounded(rows: torch.Tensor) -> torch.Tensor:
        return rows.to(torch.float8_e4m3fn).to(rows.dtype)

    with _update(step, lambda keys, values: (rounded(keys), rounded(values)), of_prompt=True):
        yield


def prompt_row_missing(row: int) -> Mutant:
    """The first or the last row of the prompt is zero after each prefill."""

    @contextmanager
    def planted(step: EagerStep) -> Iterator[None]:
        prefill = step.prefill

        def without_row(tokens: int) -> torch.Tensor:
            chosen = prefill(tokens)
            for tensor in caches.tensors(step.cache.rows):
                tensor[..., row % tokens, :] = 0
            return chosen

        with _replaced(step, "prefill", without_row):
            yield

    return planted


@contextmanager
def one_key_bias_missing(step: EagerStep) -> Iterator[None]:
    """The key bias of the last layer, where it weighs least, is ignored."""
    last = f"layers.{len(step.model.model.layers) - 1}.self_attn.k_proj.bias"
    with _parameters_set(step.model, lambda name: name.endswith(last), 0.0):
        yield


@contextmanager
def attention_scaled(step: EagerStep) -> Iterator[None]:
    """Attention's scores are 5 % too large."""
    with ExitStack() as planted:
        for layer in step.model.model.layers:
            planted.enter_context(_replaced(layer.self_attn, "scaling", layer.self_attn.scaling * 1.05))
        yield


@contextmanager
def norm_epsilon_times_100(step: EagerStep) -> Iterator[None]:
    """Every RMSNorm adds a hundred times its epsilon: what no bound of a short dtype can tell from rounding."""
    with ExitStack() as planted:
        for module in step.model.modules():
            if hasattr(module, "variance_epsilon"):
                planted.enter_context(_replaced(module, "variance_epsilon", module.variance_epsilon * 100))
        yield


@contextmanager
def kernel_on_another_stream(step: EagerStep) -> Iterator[None]:
    """The head's product goes to the legacy default stream, of which a capture on another stream holds nothing."""
    head = step.model.lm_head
    forward = head.forward

    def astray(x: torch.Tensor) -> torch.Tensor:
        with torch.cuda.stream(torch.cuda.default_stream()):
            product: torch.Tensor = forward(x)
        return product

    with _replaced(head, "forward", astray):
        yield


@contextmanager
def empty_graph(step: GraphStep) -> Iterator[None]:
    """Each replay runs nothing at all."""
    nothing = torch.cuda.CUDAGraph()
    with torch.cuda.graph(nothing):
        pass
    with _replaced(step, "graph", nothing):
        yield


MUTANTS: dict[str, Mutant] = {
    "newest-kv-row-dropped": newest_kv_row_dropped,
    "rope-off-by-one": rope_off_by_one,
    "kv-head-swapped": kv_head_swapped,
    "no-bias": no_bias,
    "norms-ignored": norms_ignored,
    "stale-input": stale_input,
}
# Small faults, which people fear: the worst error of some is below the cap, and the ratio to trusted eager tells them.
SMALL_MUTANTS: dict[str, Mutant] = {
    "weights-in-int8": weights_in_int8,
    "cache-in-fp8": cache_in_fp8,
    "oldest-prompt-row-missing": prompt_row_missing(0),
    "newest-prompt-row-missing": prompt_row_missing(-1),
    "one-key-bias-missing": one_key_bias_missing,
    "attention-scaled-by-1.05": attention_scaled,
}
# What only a captured step can do wrong: the first is planted before it is captured, the second after.
CAPTURE_MUTANTS: dict[str, Mutant] = {"kernel-on-another-stream": kernel_on_another_stream}
REPLAY_MUTANTS: dict[str, Callable[[GraphStep], AbstractContextManager[None]]] = {"empty-graph": empty_graph}


@contextmanager
def _replaced(target: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(target, name)
    setattr(target, name, value)
    try:
        yield
    finally:
        setattr(target, name, original)


@contextmanager
def _update(
    step: EagerStep,
    change: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    of_prompt: bool = False,
) -> Iterator[None]:
    """Change the keys and values [1, kv_heads, 1, head_dim] that a decode step writes into the cache; of a prompt, too,
    if `of_prompt`."""
    kind = type(step.cache.rows)  # the class itself: before version 5 it does not inherit what it does here
    update = kind.update

    def changed(self: Any, keys: torch.Tensor, values: torch.Tensor, *rest: Any, **named: Any) -> Any:
        if of_prompt or keys.shape[-2] == 1:
            keys, values = change(keys, values)
        return update(self, keys, values, *rest, **named)

    with _replaced(kind, "update", changed):
        yield


@contextmanager
def _parameters_set(model: Any, chosen: Callable[[str], bool], value: float) -> Iterator[None]:
    saved = {name: parameter.clone() for name, parameter in model.named_parameters() if chosen(name)}
    parameters = dict(model.named_parameters())
    for name in saved:
        parameters[name].fill_(value)
    try:
        yield
    finally:
        for name, original in saved.items():
            parameters[name].copy_(original)
