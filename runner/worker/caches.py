"""KV caches of transformers behind one interface."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch

from runner.declarations import POISON
from runner.worker import transformers4

POSITIONS = 2
"""Axis of positions in the cache tensors of transformers."""


class Cache(Protocol):
    """A KV cache. The model takes `rows` as past_key_values."""

    rows: Any

    def clear(self) -> None:
        """Discards all rows; a static allocation stays."""
        ...

    def restart(self, position: int) -> None:
        """Keeps the rows before `position`; the next row to be written is row `position`."""
        ...

    def extra_arguments(self, positions: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Returns the model's further arguments for tokens at positions [n]."""
        ...


class DynamicCache:
    """transformers' growing cache: each step concatenates one row in every layer."""

    def __init__(self, config: Any) -> None:
        self._config = config
        self.clear()

    def clear(self) -> None:
        from transformers import DynamicCache as Growing

        self.rows: Any = Growing(config=self._config)

    def restart(self, position: int) -> None:
        for layer in self.rows.layers:
            layer.keys = layer.keys[..., :position, :]
            layer.values = layer.values[..., :position, :]

    def extra_arguments(self, positions: torch.Tensor) -> Mapping[str, torch.Tensor]:  # noqa: ARG002 - Cache's signature
        return {}


class StaticCache:
    """One allocation of `tokens` rows per layer, written in place. Rows after the position are masked, not absent."""

    def __init__(self, model: Any, tokens: int) -> None:
        from transformers import StaticCache as Preallocated

        weight, heads = next(model.parameters()), model.config.num_key_value_heads
        head_dim = model.model.layers[0].self_attn.head_dim
        self.rows: Any = Preallocated(config=model.config, max_cache_len=tokens)
        self.rows.early_initialization(1, heads, head_dim, weight.dtype, weight.device)

    def clear(self) -> None:
        self.restart(0)

    def restart(self, position: int) -> None:
        for layer in self.rows.layers:
            if isinstance(layer.cumulative_length, torch.Tensor):
                layer.cumulative_length.fill_(position)

    def extra_arguments(self, positions: torch.Tensor) -> Mapping[str, torch.Tensor]:  # noqa: ARG002 - Cache's signature
        return {}


def tensors(rows: Any) -> list[torch.Tensor]:
    """Returns keys and values of every layer of a transformers cache, each [1, kv_heads, rows, head_dim]."""
    if hasattr(rows, "layers"):
        return [tensor for layer in rows.layers for tensor in (layer.keys, layer.values)]
    return [*rows.key_cache, *rows.value_cache]


def poison(cache_tensors: Iterable[torch.Tensor], position: int, axis: int) -> None:
    """Overwrites the rows from `position` on with `POISON`. Positions lie along `axis`."""
    for tensor in cache_tensors:
        _cut(tensor, position, tensor.shape[axis], axis).fill_(POISON)


def rows_between(cache_tensors: Iterable[torch.Tensor], start: int, stop: int, axis: int) -> torch.Tensor:
    """Returns the rows of positions [start, stop) as [n, tensors, values]. n is smaller if the tensors end earlier."""
    views = (_cut(tensor, start, stop, axis) for tensor in cache_tensors)
    return torch.stack([view.movedim(axis, 0).flatten(1) for view in views], dim=1)


def _cut(tensor: torch.Tensor, start: int, stop: int, axis: int) -> torch.Tensor:
    """Returns a view of the existing rows of [start, stop)."""
    first, last = (min(position, tensor.shape[axis]) for position in (start, stop))
    return tensor.narrow(axis, first, last - first)


def detected_kind(rows: Any, position: int) -> str:
    """Returns the kind of a transformers cache with next row `position`.

    `dynamic` has no rows beyond the earlier ones. `static` was allocated longer in advance.
    """
    return "dynamic" if tensors(rows)[0].shape[POSITIONS] == position else "static"


def make(kind: str, model: Any, tokens: int) -> Cache:
    """Returns a cache: `kind` is `dynamic` or `static`, `tokens` the rows that `static` allocates."""
    if transformers4.IS_INSTALLED:
        return transformers4.DynamicCache() if kind == "dynamic" else transformers4.StaticCache(model, tokens)
    return DynamicCache(model.config) if kind == "dynamic" else StaticCache(model, tokens)
