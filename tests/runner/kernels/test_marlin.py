"""The tensors that GPTQModel's Marlin layers get. It is pretended; test_gpu_kernels.py has the real one."""

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from runner.cell.scheme import Scheme
from runner.kernels import marlin
from tests.support.packed_layers import COLUMNS, ROWS, layer, module


class Package(nn.Module):
    """A package's layer: keeps what it was made of."""

    def __init__(self, **asked):
        super().__init__()
        self.asked, self.bias, self.ready = asked, None, []

    def post_init(self):
        """As the real one, it repacks what it holds by then."""
        self.ready.append(dict(self.named_parameters()))


@pytest.fixture
def gptqmodel(monkeypatch):
    class AwqMarlinLinear(Package): ...

    class MarlinLinear(Package): ...

    module(monkeypatch, "gptqmodel.nn_modules.qlinear.marlin", MarlinLinear=MarlinLinear)
    awq = ModuleType("gptqmodel.nn_modules.qlinear.marlin_awq")
    awq.AwqMarlinLinear = AwqMarlinLinear
    monkeypatch.setitem(sys.modules, awq.__name__, awq)
    loaded = []
    monkeypatch.setattr(torch.ops, "load_library", loaded.append)
    return loaded


@pytest.mark.parametrize(
    ("quant", "scheme", "kind"),
    [("awq", Scheme(128), "AwqMarlinLinear"), ("gptq", Scheme(64, sym=True, desc_act=True), "MarlinLinear")],
)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.usefixtures("gptqmodel")
def test_marlin_is_given_the_layer_as_it_is(quant, scheme, kind, bias):
    asked = layer(quant, scheme, bias)
    stored = dict(asked.tensors)
    (made,) = marlin.linears([asked])
    assert type(made).__name__ == kind
    assert made.asked == {
        "bits": 4,
        "group_size": scheme.group_size,
        "desc_act": scheme.desc_act,
        "sym": scheme.sym,
        "in_features": COLUMNS,
        "out_features": ROWS,
        "bias": bias,
        "dtype": torch.float16,
        "register_buffers": True,
    }
    (ready,) = made.ready  # all is there when the package repacks
    assert ready.keys() == stored.keys()
    assert all(torch.equal(ready[name], tensor) for name, tensor in stored.items())
    if bias:
        assert torch.equal(made.bias, asked.bias)
        assert made.bias.data_ptr() != asked.bias.data_ptr()  # it is permuted in place
    else:
        assert made.bias is None


@pytest.mark.usefixtures("gptqmodel")
def test_marlins_scales_are_of_the_cells_dtype_and_its_codes_are_not_touched():
    (made,) = marlin.linears([layer("awq", Scheme(128), dtype=torch.bfloat16)])
    assert {name: tensor.dtype for name, tensor in made.ready[0].items()} == {
        "qweight": torch.int32,
        "qzeros": torch.int32,
        "scales": torch.bfloat16,
    }


@pytest.mark.parametrize(
    ("dtype", "name"), [(torch.float16, "marlin_fp16_ops.so"), (torch.bfloat16, "marlin_bf16_ops.so")]
)
def test_marlins_compiled_kernels_are_taken_from_the_module_path(gptqmodel, monkeypatch, tmp_path, dtype, name):
    list(marlin.linears([layer("awq", Scheme(128), dtype=dtype)]))
    assert gptqmodel == []
    for each in ("fp16", "bf16"):
        (tmp_path / f"gptqmodel_marlin_{each}_ops.so").touch()
    monkeypatch.syspath_prepend(tmp_path)
    list(marlin.linears([layer("awq", Scheme(128), dtype=dtype)]))
    assert gptqmodel == [str(tmp_path / f"gptqmodel_{name}")]


@pytest.mark.parametrize(
    ("quant", "scheme", "said"),
    [
        ("gptq", Scheme(128, sym=True), None),
        ("awq", Scheme(128), None),
        ("awq", Scheme(32), None),
        ("awq", Scheme(64), None),
        ("gptq", Scheme(128), "no zero points for gptq"),
        ("awq", Scheme(256), "groups of 32, 64, 128, not of 256"),
        ("awq", Scheme(16), "groups of 32, 64, 128, not of 16"),
    ],
)
def test_marlin_says_why_it_cannot_multiply_a_scheme(quant, scheme, said):
    found = marlin.DECLARATION.refuses(scheme, quant)
    assert found is None if said is None else said in found
