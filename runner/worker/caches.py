"""KV caches of transformers behind one face: empty, fill, go back to a position."""

from __future__ import annotations

from typing import Any, Protocol

import torch


class Cache(Protocol):
    """`rows` is what the model takes as past_key_values."""

    rows: Any

    def clear(self) -> None:
        """Forget every row; a static allocation stays."""
        ...

    def restart(self, position: int) -> None:
        """Keep the rows before `position`; the next one written is row `position`."""
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


class StaticCache:
    """One allocation of `tokens` rows a layer, written in place; rows behind the position are masked, not absent."""

    def __init__(self, config: Any, tokens: int) -> None:
        from transformers import StaticCache as Preallocated

        self.rows: Any = Preallocated(config=config, max_cache_len=tokens)

    def clear(self) -> None:
        self.restart(0)

    def restart(self, position: int) -> None:
        for layer in self.rows.layers:
            if isinstance(layer.cumulative_length, torch.Tensor):
                layer.cumulative_length.fill_(position)


def seen(rows: Any, position: int) -> str:
    """What a cache of transformers shows itself to be when its next row is `position`: one that holds no more than the
    rows before it grows; a longer one was allocated beforehand."""
    return "dynamic" if rows.layers[0].keys.shape[-2] == position else "static"


def make(kind: str, config: Any, tokens: int) -> Cache:
    """The cache of a cell: `kind` is `dynamic` or `static`, `tokens` its allocation where it has one."""
    return DynamicCache(config) if kind == "dynamic" else StaticCache(config, tokens)
