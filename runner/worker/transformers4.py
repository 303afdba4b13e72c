"""Caches and names of arguments in transformers before version 5 (the paper stack has 4.51.3)."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch

from runner.cell.shape import ModelShape

IS_INSTALLED = int(importlib.metadata.version("transformers").split(".")[0]) < 5


class DynamicCache:
    """Growing cache (`runner.worker.caches.Cache`)."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        from transformers import DynamicCache as Growing

        self.rows: Any = Growing()

    def restart(self, position: int) -> None:
        self.rows.crop(position)

    def extra_arguments(self, positions: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return {"cache_position": positions}


class StaticCache:
    """Preallocated cache (`runner.worker.caches.Cache`).

    It does not count its rows. The model gets the positions of the next ones with each call, and masks later rows.
    """

    def __init__(self, model: Any, tokens: int) -> None:
        from transformers import StaticCache as Preallocated

        weight = next(model.parameters())
        self.rows: Any = Preallocated(
            config=model.config, max_batch_size=1, max_cache_len=tokens, device=weight.device, dtype=weight.dtype
        )

    def clear(self) -> None:
        pass

    def restart(self, position: int) -> None:
        pass

    def extra_arguments(self, positions: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return {"cache_position": positions}


def rope_arguments(shape: ModelShape) -> dict[str, Any]:
    """Returns a configuration's arguments in place of version 5's rope_parameters."""
    return {"rope_theta": shape.rope_theta, "rope_scaling": shape.rope_scaling}


def no_init_weights() -> AbstractContextManager[None]:
    """Returns a context in which modules are created without values."""
    from transformers import modeling_utils

    context: AbstractContextManager[None] = modeling_utils.no_init_weights()  # type: ignore[attr-defined]  # gone in 5
    return context
