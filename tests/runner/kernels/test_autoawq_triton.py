"""The tensors that AutoAWQ's layer gets. The package is pretended; test_gpu_kernels.py has the real one."""

import pytest
import torch
from torch import nn

from runner.cell.scheme import Scheme
from runner.kernels import autoawq_triton
from tests.support.packed_layers import COLUMNS, ROWS, layer, module


@pytest.mark.parametrize("bias", [True, False])
def test_autoawq_is_given_the_layer_as_it_is(monkeypatch, bias):
    module(monkeypatch, "awq.modules.linear.gemm", WQLinear_GEMM=Buffered)
    asked = layer("awq", Scheme(64), bias)
    (made,) = autoawq_triton.linears([asked])
    assert made.asked == {
        "w_bit": 4,
        "group_size": 64,
        "in_features": COLUMNS,
        "out_features": ROWS,
        "bias": bias,
        "dev": "meta",
    }
    held = dict(made.named_buffers())
    expected = asked.tensors | ({"bias": asked.bias.data} if bias else {})
    assert held.keys() == expected.keys()
    assert all(torch.equal(held[name], tensor) for name, tensor in expected.items())


class Buffered(nn.Module):
    def __init__(self, **asked):
        super().__init__()
        self.asked = asked
