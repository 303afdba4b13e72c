"""The cell: the measured configuration, every field resolved, and its permanent key."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Annotated, Any

from runner.cell.fieldtypes import OneOf, Size
from runner.cell.vocabulary import CACHES, CPU, CUDA, DTYPES

# One constant per field, frozen when the field was added. The key leaves out a field that equals its key default, so
# fields added later do not change committed keys. Never change an entry. Kernel, dtype, cache and attention have none:
# the key always contains them.
KEY_DEFAULTS: dict[str, Any] = {"quant": "bf16", "runtime": "eager", "weights_id": "synthetic-v1", "options": {}}
KEY_LENGTH = 12
PLAIN_KERNELS = ("cublas", "torch-cpu")  # default kernels of unquantised weights, left out of names
WEIGHTS_ID_LENGTH = 8
LOCAL_PREFIXES = ("content-", "headers-")
"""Prefixes of a local folder's weights_id. Older records have `headers-`, a hash that does not cover values."""


@dataclass(frozen=True)
class Cell:
    """The measured configuration, every field resolved."""

    gpu: str
    """catalogue key of the GPU"""
    model: str
    """catalogue key of the model"""
    ctx: Size
    """tokens in the cache when the first step is timed"""
    quant: str
    """weight format"""
    kernel: str
    """kernel that multiplies the weights"""
    runtime: str
    """execution method of a step"""
    attention: str
    """sdpa, flash-attn or engine"""
    cache: Annotated[str, OneOf(CACHES)]
    """dynamic, static or engine"""
    dtype: Annotated[str, OneOf(DTYPES)]
    """dtype of activations and unquantised weights"""
    weights_id: str
    """hub revision, synthetic-v1, or `content-` and a hash of the folder's headers, sizes, and the first, middle and
    last 4 KiB of every tensor (older records: `headers-` and a hash of headers and sizes alone)"""
    options: dict[str, str] = field(default_factory=dict)
    """options, validated by the runtime and kernel"""

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "options": dict(self.options)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Cell:
        return cls(**data)

    @property
    def key(self) -> str:
        """Returns a short hash of the resolved cell."""
        named = {name: value for name, value in self.to_json().items() if KEY_DEFAULTS.get(name) != value}
        return short_hash(named, KEY_LENGTH)

    @property
    def device_kind(self) -> str:
        """Returns the kind of the device: `cpu` or `cuda`."""
        return CPU if self.gpu == CPU else CUDA

    @property
    def words(self) -> tuple[str, ...]:
        """Returns the cell without its GPU in a few words. It leaves out plain kernels, `sdpa` attention, synthetic
        weights, and the dtype bf16 beside a quantised format."""
        unquantised = self.quant == KEY_DEFAULTS["quant"]  # such weights are stored in the cell's dtype
        parts = (
            (self.model, True),
            (str(self.ctx), True),
            (self.dtype if unquantised else self.quant, True),
            (self.dtype, not unquantised and self.dtype != "bf16"),
            (self.kernel, self.kernel not in PLAIN_KERNELS),
            (self.runtime, True),
            (self.cache, True),
            (self.attention, self.attention != "sdpa"),
            (short_weights_id(self.weights_id), self.weights_id != KEY_DEFAULTS["weights_id"]),
            *((f"{name}:{value}", True) for name, value in sorted(self.options.items())),
        )
        return tuple(word for word, is_included in parts if is_included)

    @property
    def title(self) -> str:
        """Returns the cell in a few words, with its GPU at the end."""
        return " ".join((*self.words, self.gpu))


def short_weights_id(weights_id: str) -> str:
    """Returns the first digits of a weights_id, without its prefix."""
    for prefix in LOCAL_PREFIXES:
        weights_id = weights_id.removeprefix(prefix)
    return weights_id[:WEIGHTS_ID_LENGTH]


def short_hash(value: Any, length: int) -> str:
    """Returns the first `length` hexadecimal digits of the SHA-256 of a JSON value, keys sorted."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]
