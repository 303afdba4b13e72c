"""`synthetic-v1`: the spreads and correlations that its docstring states, measured on what was filled."""

import math

import pytest
import torch

from runner.worker import synthetic

HEADS, KV_HEADS, DIM, HIDDEN = 8, 2, 64, 1024
QUERY, KEY = "model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight"
SHAPES = {
    "model.embed_tokens.weight": (4096, 64),
    QUERY: (HEADS * DIM, HIDDEN),
    "model.layers.0.self_attn.q_proj.bias": (20_000,),
    KEY: (KV_HEADS * DIM, HIDDEN),
    "model.layers.0.mlp.down_proj.weight": (256, 4096),
    "model.layers.0.input_layernorm.weight": (20_000,),
    "model.layers.1.mlp.down_proj.weight": (256, 4096),
    "lm_head.weight": (512, 256),
}


def filled(seed=0):
    parameters = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    synthetic.fill(parameters, DIM, torch.Generator().manual_seed(seed))
    return parameters


@pytest.fixture(scope="module")
def weights():
    return filled()


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("model.embed_tokens.weight", 0.0, 1.0),
        ("model.layers.0.self_attn.q_proj.bias", 0.0, 0.5),
        ("model.layers.0.input_layernorm.weight", 1.0, 0.3),
        ("model.layers.0.mlp.down_proj.weight", 0.0, 1 / 64),  # 1 / √4096
        ("lm_head.weight", 0.0, 1 / 16),  # 1 / √256
        (KEY, 0.0, math.sqrt(2.5) / 32),  # 1 / √1024, and the scores' own spread
        (QUERY, 0.0, math.sqrt(2.5) / 32),
    ],
)
def test_each_kind_has_its_mean_and_spread(weights, name, mean, std):
    found = weights[name]
    assert float(found.mean()) == pytest.approx(mean, abs=5 * std / math.sqrt(found.numel()))
    assert float(found.std()) == pytest.approx(std, rel=0.03)


@pytest.mark.medium
def test_every_tensor_is_distinct_and_a_seed_says_all(weights):
    assert not torch.equal(*(weights[f"model.layers.{layer}.mlp.down_proj.weight"] for layer in (0, 1)))
    again = filled()
    assert all(torch.equal(again[name], tensor) for name, tensor in weights.items())
    assert not torch.equal(filled(1)[KEY], weights[KEY])


def heads(weights):
    return weights[QUERY].view(HEADS, -1), weights[KEY].view(KV_HEADS, -1)


def test_each_query_head_is_correlated_with_its_own_key_head_from_not_at_all_to_strongly(weights):
    queries, keys = heads(weights)
    found = torch.nn.functional.cosine_similarity(queries[:, None], keys[None], dim=2)
    for head in range(HEADS):
        own = head * KV_HEADS // HEADS  # heads 0 … 3 share the first, 4 … 7 the second
        # 0.6 · head / 7; by chance two blocks of 65536 values are correlated by 1/256
        assert float(found[head, own]) == pytest.approx(0.6 * head / 7, abs=5 / 256)
        assert float(found[head, 1 - own]) == pytest.approx(0, abs=5 / 256)


def test_scores_of_unrelated_positions_spread_by_two_and_a_half(weights):
    """x of unit variance: q·k / √64 over pairs of positions that have nothing in common."""
    one, other = (torch.randn(400, HIDDEN, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    for head in (0, HEADS - 1):
        query = one @ weights[QUERY][head * DIM : (head + 1) * DIM].T
        key = other @ weights[KEY][: DIM if head == 0 else None][-DIM:].T
        assert float((query @ key.T / 8).std()) == pytest.approx(2.5, rel=0.1)


def test_one_head_alone_is_possible():
    query, key = torch.ones(4, 8), torch.ones(4, 8)
    synthetic._peak_attention(query, key, 4)
    for filled_one in (query, key):
        torch.testing.assert_close(filled_one, torch.full((4, 8), math.sqrt(2.5)))
