"""Search for the first weight, in the model's order, that is NaN or infinite. It runs if logits are not finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import nn

from runner.record.sections.gate import NotFinite
from runner.worker.plainlinear import PlainLinear

PIECE = 2**24  # elements per check: the mask of a whole embedding would need hundreds of megabytes
Read = Callable[[str], torch.Tensor]
"""Reads a tensor by name, as the checkpoint stores it."""
STORED, CONVERTED, DEQUANTISED = "stored", "converted", "dequantised"


ALL_FINITE = NotFinite(tensor=None, value=None, how=None)
"""The fault of a model whose every weight is finite."""


def first(model: nn.Module, read: Read | None) -> NotFinite:
    """Returns the fault of a model whose packed layers are still plain ones. `read` is None for synthetic weights."""
    for name, module in model.named_modules():
        fault = next(_packed(name, module), None) if isinstance(module, PlainLinear) else None
        if fault := fault or next(_parameters(name, module, read), None):
            return fault
    return ALL_FINITE


def _packed(name: str, linear: PlainLinear) -> Iterator[NotFinite]:
    for part, tensor in linear.tensors.items():
        if value := _value(tensor):
            yield NotFinite(f"{name}.{part}", value, STORED)
    if value := _value(linear.matrix(linear.dtype)):
        yield NotFinite(f"{name}.weight", value, DEQUANTISED)


def _parameters(name: str, module: nn.Module, read: Read | None) -> Iterator[NotFinite]:
    for full_name, parameter in module.named_parameters(name, recurse=False):
        if value := _value(parameter.data):
            as_stored = value if read is None else _value(read(full_name))
            yield NotFinite(full_name, as_stored or value, STORED if as_stored else CONVERTED)


def _value(tensor: torch.Tensor) -> str | None:
    """Returns the first value that is not finite; None if all are."""
    if not tensor.is_floating_point():
        return None
    for piece in tensor.reshape(-1).split(PIECE):
        not_finite = piece[~piece.isfinite()]
        if len(not_finite):
            value = float(not_finite[0])
            return "NaN" if math.isnan(value) else str(value)
    return None
