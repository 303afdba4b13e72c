"""Packed layers, and pretended packages, for the tests of what kernels make of them."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from runner.cell.scheme import Scheme
from runner.worker import plainlinear

ROWS, COLUMNS = 64, 256  # out, in: another number each, so that none stands for the other


def layer(
    quant: str,
    scheme: Scheme,
    bias: bool = True,
    rows: int = ROWS,
    columns: int = COLUMNS,
    dtype: torch.dtype = torch.float16,
) -> plainlinear.PlainLinear:
    linear = nn.Linear(columns, rows, bias=bias, dtype=dtype).requires_grad_(False)
    return plainlinear.quantised(linear, quant, scheme)


def module(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> ModuleType:
    """A module of that name, and packages around it."""
    parts = name.split(".")
    for index in range(1, len(parts) + 1):
        made = ModuleType(".".join(parts[:index]))
        monkeypatch.setitem(sys.modules, made.__name__, made)
    for member, value in members.items():
        setattr(made, member, value)
    return made
