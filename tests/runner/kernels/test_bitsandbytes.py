"""bitsandbytes' own layer multiplies the packed tensors as they are stored."""

import pytest
import torch

from runner import registry
from runner.cell.scheme import Scheme
from runner.worker import plainlinear


@pytest.mark.parametrize("double", [True, False])
@torch.inference_mode()
def test_bitsandbytes_multiplies_the_stored_form(double, monkeypatch):
    """On a CPU with AVX512-BF16 the package repacks a layer at its first forward, unless it is told not to."""
    import bitsandbytes

    monkeypatch.setattr(bitsandbytes.nn.modules, "has_avx512bf16", lambda: True)
    linear = torch.nn.Linear(128, 256, bias=False, dtype=torch.bfloat16)
    plain = plainlinear.quantised(linear, "bnb-nf4", Scheme(64, double_quant=double))
    stored = {name: tensor.clone() for name, tensor in plain.tensors.items()}
    (made,) = registry.packed_kernel("bitsandbytes").linears([plain])
    assert (made.in_features, made.out_features) == (128, 256)
    made.eval()(torch.randn(1, 1, 128, dtype=torch.bfloat16))
    state = made.weight.quant_state
    held = {"weight": made.weight.data, "weight.absmax": state.absmax, "weight.quant_map": state.code}
    if double:
        held |= {"weight.nested_absmax": state.state2.absmax, "weight.nested_quant_map": state.state2.code}
        held["weight.nested_offset"] = state.offset
    assert held.keys() == stored.keys()
    for name, tensor in stored.items():
        assert held[name].dtype == tensor.dtype, name
        assert torch.equal(held[name], tensor), name
