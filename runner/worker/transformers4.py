"""What transformers did otherwise before version 5 (the paper stack has 4.51.3): caches, and names of arguments."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch

from runner.cell.shape import ModelShape

IS_HERE = int(importlib.metadata.version("transformers").split(".")[0]) < 5


class DynamicCache:
    """See `runner.worker.caches.Cache`."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        from transformers import DynamicCache as Growing

        self.rows: Any = Growing()

    def restart(self, position: int) -> None:
        self.rows.crop(position)

    def told(self, positions: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return {"cache_position": positions}


class StaticCache:
    """See `runner.worker.caches.Cache`. It does not know how many rows are written: the model is told each time where
    the next ones belong, and masks those behind them."""

    def __init__(self, model: Any, tokens: int) -> None:
        from transformers import StaticCache as Preallocated

        one = next(model.parameters())
        self.rows: Any = Preallocated(
            config=model.config, max_batch_size=1, max_cache_len=tokens, device=one.device, dtype=one.dtype
        )

    def clear(self) -> None:
        pass

    def restart(self, position: int) -> None:
        pass

    def told(self, positions: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return {"cache_position": positions}


def rope_arguments(shape: ModelShape) -> dict[str, Any]:
    """Of a configuration: what version 5 calls rope_parameters."""
    return {"rope_theta": shape.rope_theta, "rope_scaling": shape.rope_scaling}


def no_init_weights() -> AbstractContextManager[None]:
    """Modules made in it are left without values."""
    from transformers import modeling_utils

    entered: AbstractContextManager[None] = modeling_utils.no_init_weights()  # type: ignore[attr-defined]  # gone in 5
    return entered
