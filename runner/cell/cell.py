"""The cell: what is measured, every field resolved, and the key that names it for ever."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from runner.cell.fieldtypes import OneOf, Size
from runner.cell.vocabulary import CACHES, CPU, CUDA, DTYPES

# One constant per field, frozen when the field was added. A field equal to its key default is left out of the key, so
# that fields added later leave committed keys as they are. Never change an entry; kernel, dtype, cache and attention
# have none: they are always written in.
KEY_DEFAULTS: dict[str, Any] = {"quant": "bf16", "runtime": "eager", "weights_id": "synthetic-v1", "options": {}}
KEY_LENGTH = 12
PLAIN_KERNELS = ("cublas", "torch-cpu")  # of unquantised weights, one per kind of device: they go without saying
WEIGHTS_ID_LENGTH = 8
LOCAL_PREFIXES = ("content-", "headers-")
"""Prefixes of a folder's weights_id; older records have the second, a hash that saw nothing of the values."""


@dataclass(frozen=True)
class Cell:
    """What was measured, every field resolved."""

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
    """how a step is executed"""
    attention: str
    """sdpa, flash-attn or engine"""
    cache: Annotated[str, OneOf(CACHES)]
    """dynamic, static or engine"""
    dtype: Annotated[str, OneOf(DTYPES)]
    """of activations and of what is not quantised"""
    weights_id: str
    """hub revision, `content-` and a hash of the folder's headers, sizes and first, middle and last 4 KiB of every
    tensor (older records: `headers-`, without those), or synthetic-v1"""
    options: dict[str, str] = field(default_factory=dict)
    """options that the runtime and kernel validated"""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Cell:
        return cls(**data)

    @property
    def key(self) -> str:
        """Short hash of the resolved cell."""
        named = {name: value for name, value in self.to_json().items() if KEY_DEFAULTS.get(name) != value}
        return short_hash(named, KEY_LENGTH)

    @property
    def device_kind(self) -> str:
        """Kind of the device: `cpu` or `cuda`."""
        return CPU if self.gpu == CPU else CUDA

    @property
    def words(self) -> tuple[str, ...]:
        """The cell without its gpu in a few words, what differs first; what goes without saying is left out."""
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
        return tuple(word for word, is_said in parts if is_said)

    @property
    def title(self) -> str:
        """The name of a run, in a table that cuts it at about 22 characters."""
        return " ".join((*self.words, self.gpu))


def short_weights_id(weights_id: str) -> str:
    """Its first digits, for a name that a person reads."""
    for prefix in LOCAL_PREFIXES:
        weights_id = weights_id.removeprefix(prefix)
    return weights_id[:WEIGHTS_ID_LENGTH]


def short_hash(value: Any, length: int) -> str:
    """First hexadecimal digits of the SHA-256 of a JSON value, keys sorted."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]
