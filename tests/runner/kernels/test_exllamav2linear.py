"""The layer over exllamav2's extension, which is pretended: what it is given, and who multiplies what."""

import sys

import pytest
import torch

from runner.cell.scheme import Scheme
from runner.kernels import exllamav2
from tests.fakes.exllamav2_extension import made_of
from tests.support.packed_layers import COLUMNS, layer


@pytest.mark.parametrize("tokens", [1, 32, 33, 40])
@pytest.mark.parametrize("bias", [True, False])
def test_exllamav2_multiplies_few_tokens_itself_and_a_prompt_by_its_matrix(extension, tokens, bias):
    asked = layer("gptq", Scheme(128, sym=True), bias)
    (made,) = made_of(extension, asked)
    x = torch.randn(1, tokens, COLUMNS).half()
    with torch.inference_mode():
        torch.testing.assert_close(made(x), asked(x), rtol=1e-2, atol=1e-2)
    assert extension.products == ([((tokens, COLUMNS), 1, False)] if tokens <= 32 else [])


@pytest.mark.parametrize("bias", [True, False])
def test_the_extension_is_given_the_layer_as_it_is(extension, bias):
    asked = layer("gptq", Scheme(128, sym=True), bias)
    (made,) = made_of(extension, asked)
    (given,) = extension.made
    for name in ("qweight", "qzeros", "scales"):
        assert given[name] is made.tensors[name]
        assert torch.equal(given[name], asked.tensors[name])
    assert {name: given[name].device.type for name in ("order", "inverse", "groups")} == dict.fromkeys(
        ("order", "inverse", "groups"), "meta"
    )
    assert (given["bias"].device.type == "meta") is not bias
    assert given["room"] == COLUMNS


def test_inputs_in_the_order_of_activations_have_buffers_for_their_order(extension):
    asked = layer("gptq", Scheme(128, sym=True, desc_act=True))
    asked.tensors["g_idx"] = torch.arange(COLUMNS, dtype=torch.int32) // 128
    (made,) = made_of(extension, asked)
    (given,) = extension.made
    assert given["order"] is made.tensors["order"]
    assert given["inverse"] is made.tensors["inverse"]
    assert given["order"].shape == given["inverse"].shape == (COLUMNS,)
    assert given["order"].dtype == torch.short
    assert given["groups"].device.type == "cpu"
    assert torch.equal(given["groups"], asked.tensors["g_idx"])


def test_a_layer_that_is_gone_gives_its_matrix_back_once(extension):
    made = made_of(extension, *(layer("gptq", Scheme(128, sym=True)) for _ in range(2)))
    assert extension.freed == []
    del made[0]
    assert extension.freed == [1]


def test_a_layer_that_was_never_made_gives_nothing_back(extension, monkeypatch):
    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(sys.modules["exllamav2_ext"], "make_q_matrix", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(exllamav2.linears([layer("gptq", Scheme(128, sym=True))]))
    assert extension.freed == []
