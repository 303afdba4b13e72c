"""A packed layer in plain arithmetic: its matrix is the weight rounded, whole or by blocks, cached or not."""

import pytest
import torch

from runner.worker import model, plainlinear, tokens
from tests.support.packed_models import CPU, SCHEMES, TINY, build

pytestmark = pytest.mark.usefixtures("inference")


@pytest.mark.medium
@pytest.mark.parametrize("quant", SCHEMES)
def test_the_packed_model_is_the_plain_one_rounded(quant):
    packed = model.build_synthetic(build(quant))
    whole = model.build_synthetic(model.Build(TINY, "bf16", None, torch.float32, CPU))
    plains = plainlinear.plain_linears(packed)
    assert len(plains) == 7 * TINY.layers
    for name, plain in plains.items():
        original = whole.get_submodule(name).weight
        error = (plain.matrix(torch.float32) - original).norm() / original.norm()
        assert 0.02 < error < 0.15, name  # four bits: some 10 % of a normal weight's spread
    others = dict(packed.named_parameters())
    for name, parameter in whole.named_parameters():
        if name.removesuffix(".weight") not in plains:
            assert torch.equal(others[name], parameter), name


@pytest.mark.medium
@pytest.mark.parametrize("quant", SCHEMES)
def test_unpacked_layers_say_the_same_and_are_packed_again_afterwards(quant, monkeypatch):
    built = model.build_synthetic(build(quant))
    tokens_in = tokens.draw(TINY.vocab, 9, 0, CPU).sequence[None]
    packed = built(input_ids=tokens_in, use_cache=False).logits
    with plainlinear.unpacked(built), monkeypatch.context() as patched:
        patched.setattr(plainlinear.PlainLinear, "matrix", None)  # nothing is dequantised meanwhile
        assert torch.equal(built(input_ids=tokens_in, use_cache=False).logits, packed)
    assert all(plain._cached_matrix is None for plain in plainlinear.plain_linears(built).values())


@pytest.mark.medium
def test_a_slice_over_blocks_is_whole(monkeypatch):
    blocks = 128 * 28  # of 24 rows, for words have eight
    monkeypatch.setattr(plainlinear, "BLOCK_ELEMENTS", blocks)
    linear = torch.nn.Linear(128, 256, bias=False)
    plain = plainlinear.quantised(linear, "gptq", SCHEMES["gptq"])
    monkeypatch.undo()
    whole = plain.matrix(torch.float32)
    monkeypatch.setattr(plainlinear, "BLOCK_ELEMENTS", blocks)
    assert torch.equal(plain[8:248], whole[8:248])
    assert torch.equal(plain.matrix(torch.float32), whole)
