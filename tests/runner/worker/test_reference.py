"""The reference against transformers' own arithmetic in float64, for every choice that a model's shape leaves."""

import math
from dataclasses import replace

import pytest
import torch

from runner.cell import catalogue
from runner.worker import model, reference, tokens

CPU = torch.device("cpu")
TINY = catalogue.models()["tiny"].shape
LLAMA3 = catalogue.models()["llama-3.1-8b"].shape.rope_scaling
SHORT = {**LLAMA3, "original_max_position_embeddings": 64}  # so that waves are slowed within the test's positions
COUNT = 40
POSITIONS = torch.tensor([0, 5, 20, 39])
SHAPES = {
    "as it is": TINY,
    "a large epsilon": replace(TINY, rms_norm_eps=0.5),
    "another theta": replace(TINY, rope_theta=50.0),
    "one key head for all": replace(TINY, kv_heads=1),
    "a key head for each": replace(TINY, kv_heads=TINY.heads),
    "tied": replace(TINY, tied_embedding=True),
    "llama without biases": replace(TINY, model_type="llama", qkv_bias=False),
    "llama's scaling": replace(TINY, model_type="llama", qkv_bias=False, rope_theta=500.0, rope_scaling=SHORT),
    "mistral": replace(TINY, model_type="mistral", qkv_bias=False),
}


def built(shape):
    made = model.build_synthetic(model.Build(shape, "bf16", None, torch.float32, CPU)).double()
    made.model.rotary_emb.double()
    return made


def sequence(shape):
    return tokens.draw(shape.vocab, COUNT, 0, CPU).sequence


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks that a short prompt fills several times, and none of them evenly."""
    for name, size in (("TOKEN_BLOCK", 17), ("QUERY_BLOCK", 5), ("ROW_BLOCK", 100)):
        monkeypatch.setattr(reference, name, size)


@pytest.mark.medium
@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", SHAPES)
def test_it_says_what_transformers_says_to_many_digits(name):
    shape = SHAPES[name]
    made = built(shape)
    assert (shape.tied_embedding, shape.qkv_bias) == (
        made.lm_head.weight is made.model.embed_tokens.weight,
        made.model.layers[0].self_attn.q_proj.bias is not None,
    )
    ours = reference.for_model(made, shape, torch.float64).logits(sequence(shape), POSITIONS)
    theirs = made(input_ids=sequence(shape)[None], use_cache=False).logits[0, POSITIONS]
    error = (ours - theirs).norm(dim=1) / theirs.norm(dim=1)
    # transformers norms and rotates in float32; a larger epsilon, another head or a later position is 1e-3 and more
    assert float(error.max()) < 1e-5


@pytest.mark.medium
def test_blocks_change_nothing(monkeypatch):
    made = built(TINY)
    whole = reference.for_model(made, TINY, torch.float64).logits(sequence(TINY), POSITIONS)
    for name, size in (("TOKEN_BLOCK", 7), ("QUERY_BLOCK", 3), ("ROW_BLOCK", 50)):
        monkeypatch.setattr(reference, name, size)
    torch.testing.assert_close(reference.for_model(made, TINY, torch.float64).logits(sequence(TINY), POSITIONS), whole)


@pytest.mark.medium
def test_each_layer_leaves_what_transformers_layer_leaves():
    made, left = built(TINY), []
    for layer in made.model.layers:
        layer.register_forward_hook(lambda _module, _inputs, output: left.append(output[0]))
    made(input_ids=sequence(TINY)[None], use_cache=False)
    found = reference.for_model(made, TINY, torch.float64).hidden(sequence(TINY), POSITIONS)
    theirs = torch.stack([each.view(COUNT, -1)[POSITIONS] for each in left])
    assert found.shape == (TINY.layers, len(POSITIONS), TINY.hidden)
    torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("first", [0, 6])
def test_attention_is_a_softmax_over_each_position_and_those_before_it(first):
    queries, keys, values = (torch.randn(shape, dtype=torch.float64) for shape in ((3, 4, 8), (12, 8), (12, 8)))
    found = reference.causal_mix(queries.clone(), keys, values, first)
    for head in range(3):
        for index in range(4):
            seen = first + index + 1
            weights = (keys[:seen] @ queries[head, index] / math.sqrt(8)).softmax(dim=0)
            torch.testing.assert_close(found[head, index], weights @ values[:seen])


def test_large_scores_overflow_nothing():
    queries, keys = torch.full((1, 2, 4), 40.0), torch.full((2, 4), 40.0)
    values = torch.tensor([[1.0] * 4, [3.0] * 4])
    assert reference.causal_mix(queries, keys, values, 0)[0].tolist() == [[1.0] * 4, [2.0] * 4]
    assert reference.causal_mix(-queries, keys, values, 0)[0].tolist() == [[1.0] * 4, [2.0] * 4]


def test_long_waves_are_slowed_by_the_factor_short_ones_kept_and_those_between_blended():
    """Llama 3.1: 8 times; a wave is long below 1 turn in 8192 positions, short above 4."""

    def scaled(turns):
        frequency = turns * 2 * math.pi / 8192
        return reference._llama3_frequency(frequency, LLAMA3) / frequency

    assert scaled(0.5) == pytest.approx(1 / 8)
    assert scaled(1.0) == pytest.approx(1 / 8)
    assert scaled(4.0) == pytest.approx(1.0)
    assert scaled(100.0) == pytest.approx(1.0)
    assert scaled(2.5) == pytest.approx(0.5 + 0.5 / 8)  # halfway between 1 and 4


def test_an_unknown_scaling_is_not_guessed():
    with pytest.raises(ValueError, match="does not support rope_type 'yarn'"):
        reference._llama3_frequency(1.0, {**LLAMA3, "rope_type": "yarn"})


def test_angles_are_exact_at_late_positions():
    shape = replace(TINY, rope_theta=1e6)
    table = reference.rotary_table(shape, 16_384, CPU, torch.float64)
    frequencies = reference.rotary_frequencies(shape)
    assert len(frequencies) == shape.head_dim // 2
    for plane in (0, 1, 7):
        assert frequencies[plane] == pytest.approx(1e6 ** (-2 * plane / shape.head_dim))
        angle = 16_383 * frequencies[plane]
        assert table[16_383, 0, plane].item() == pytest.approx(math.cos(angle), abs=1e-9)
        assert table[16_383, 1, plane].item() == pytest.approx(math.sin(angle), abs=1e-9)


def test_llama3_frequencies_agree_with_transformers():
    shape = catalogue.models()["llama-3.1-8b"].shape
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    theirs = LlamaRotaryEmbedding(model.config_of(shape)).inv_freq
    assert torch.tensor(reference.rotary_frequencies(shape)).allclose(theirs, rtol=1e-5)
