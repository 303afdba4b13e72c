"""The kernel reads the transformers modules' own tensors, and their rotary angles in float32."""

from dataclasses import replace

import pytest
import torch

from runner.cell.shape import ModelShape
from runner.fused import tensors
from runner.fused.launch import LAYER_FIELDS, VECTOR_FIELDS
from runner.worker import caches, model
from tests.support.fusedshapes import of_catalogue

LLAMA = of_catalogue()["llama-3.1-8b"]
TINY = of_catalogue()["tiny"]
TINY_LLAMA = replace(TINY, model_type="llama", qkv_bias=False, rope_scaling=LLAMA.rope_scaling)


def built(shape: ModelShape) -> torch.nn.Module:
    return model.build_synthetic(model.Build(shape, "bf16", None, torch.bfloat16, torch.device("cpu")))


@pytest.mark.parametrize("shape", [TINY, TINY_LLAMA], ids=["qwen", "llama"])
def test_a_layers_tensors_are_the_modules_own(shape: ModelShape) -> None:
    module, cache = built(shape), None
    cache = caches.make("static", module, 40)
    layers = tensors.of_layers(module, cache.rows)
    biases = {"query_bias", "key_bias", "value_bias"} if shape.qkv_bias else set()
    expected = {*LAYER_FIELDS, *VECTOR_FIELDS} - {"query_bias", "key_bias", "value_bias"} | biases
    assert all(set(layer) == expected for layer in layers)
    assert all(tensor.is_contiguous() for layer in layers for tensor in layer.values())
    assert layers[1]["down"] is module.get_parameter("model.layers.1.mlp.down_proj.weight")
    assert layers[1]["keys"].shape == (1, shape.kv_heads, 40, shape.head_dim)


@pytest.mark.parametrize("shape", [TINY, TINY_LLAMA], ids=["qwen", "llama"])
def test_angles_are_those_of_transformers(shape: ModelShape) -> None:
    rotary = built(shape).get_submodule("model.rotary_emb")
    cosines, sines = tensors.angles(rotary, 3000)
    expected = rotary(torch.zeros(1, dtype=torch.float32), torch.arange(3000)[None])
    for made, wanted in zip((cosines, sines), expected, strict=True):
        # transformers repeats each half; its product of position and frequency is the same float32 product
        torch.testing.assert_close(torch.cat([made, made], dim=1), wanted[0], rtol=0, atol=1e-6)
