"""KV caches of transformers behind one face: empty, fill, go back to a position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch

from runner.declarations import POISON
from runner.worker import transformers4

POSITIONS = 2
"""The axis of positions in the cache tensors of transformers."""


class Cache(Protocol):
    """`rows` is what the model takes as past_key_values."""

    rows: Any

    def clear(self) -> None:
        """Forget every row; a static allocation stays."""
        ...

    def restart(self, position: int) -> None:
        """Keep the rows before `position`; the next one written is row `position`."""
        ...

    def told(self, positions: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """What the model is told beside `rows` about the positions [n] of the tokens it is given."""
        ...


class DynamicCache:
    """transformers' growing cache: each step concatenates one row to every layer."""

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

    def told(self, positions: torch.Tensor) -> Mapping[str, torch.Tensor]:  # noqa: ARG002 - the rows know their number
        return {}


class StaticCache:
    """One allocation of `tokens` rows a layer, made here and written in place; rows behind the position are masked,
    not absent."""

    def __init__(self, model: Any, tokens: int) -> None:
        from transformers import StaticCache as Preallocated

        one, attention = next(model.parameters()), model.model.layers[0].self_attn
        self.rows: Any = Preallocated(config=model.config, max_cache_len=tokens)
        self.rows.early_initialization(1, model.config.num_key_value_heads, attention.head_dim, one.dtype, one.device)

    def clear(self) -> None:
        self.restart(0)

    def restart(self, position: int) -> None:
        for layer in self.rows.layers:
            if isinstance(layer.cumulative_length, torch.Tensor):
                layer.cumulative_length.fill_(position)

    def told(self, positions: torch.Tensor) -> Mapping[str, torch.Tensor]:  # noqa: ARG002 - the rows know their number
        return {}


def tensors(rows: Any) -> list[torch.Tensor]:
    """Returns keys and values of every layer of a transformers cache, each [1, kv_heads, rows, head_dim]."""
    if hasattr(rows, "layers"):
        return [tensor for layer in rows.layers for tensor in (layer.keys, layer.values)]
    return [*rows.key_cache, *rows.value_cache]


def spoil(held: Iterable[torch.Tensor], position: int, axis: int) -> None:
    """Overwrite the rows from `position` on of cache tensors, whose positions lie along `axis`, with `POISON`."""
    for tensor in held:
        _cut(tensor, position, tensor.shape[axis], axis).fill_(POISON)


def between(held: Iterable[torch.Tensor], start: int, stop: int, axis: int) -> torch.Tensor:
    """Returns the rows of positions [start, stop) as [n, tensors, values]; n is smaller where the tensors end."""
    found = (_cut(tensor, start, stop, axis) for tensor in held)
    return torch.stack([rows.movedim(axis, 0).flatten(1) for rows in found], dim=1)


def _cut(tensor: torch.Tensor, start: int, stop: int, axis: int) -> torch.Tensor:
    """A view of the rows of [start, stop) that are there."""
    first, last = (min(position, tensor.shape[axis]) for position in (start, stop))
    return tensor.narrow(axis, first, last - first)


def seen(rows: Any, position: int) -> str:
    """What a cache of transformers shows itself to be when its next row is `position`: one that holds no more than the
    rows before it grows; a longer one was allocated beforehand."""
    return "dynamic" if tensors(rows)[0].shape[POSITIONS] == position else "static"


def make(kind: str, model: Any, tokens: int) -> Cache:
    """The cache of a cell: `kind` is `dynamic` or `static`, `tokens` its allocation where it has one."""
    if transformers4.IS_HERE:
        return transformers4.DynamicCache() if kind == "dynamic" else transformers4.StaticCache(model, tokens)
    return DynamicCache(model.config) if kind == "dynamic" else StaticCache(model, tokens)
