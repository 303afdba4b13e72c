"""KV caches of transformers behind one face: empty, fill, go back to a position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch

from runner.worker import transformers4


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

    def told(self, positions: torch.Tensor) -> Mapping[str, torch.Tensor]:  # noqa: ARG002 - the rows know their number
        return {}


def seen(rows: Any, position: int) -> str:
    """What a cache of transformers shows itself to be when its next row is `position`: one that holds no more than the
    rows before it grows; a longer one was allocated beforehand."""
    keys = rows.layers[0].keys if hasattr(rows, "layers") else rows.key_cache[0]
    return "dynamic" if keys.shape[-2] == position else "static"


def make(kind: str, model: Any, tokens: int) -> Cache:
    """The cache of a cell: `kind` is `dynamic` or `static`, `tokens` its allocation where it has one."""
    if transformers4.IS_HERE:
        return transformers4.DynamicCache() if kind == "dynamic" else transformers4.StaticCache(model, tokens)
    return DynamicCache(model.config) if kind == "dynamic" else StaticCache(model.config, tokens)
