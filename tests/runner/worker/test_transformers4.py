"""What differs before transformers 5, as far as the version here can show it: the paper's has 4.51."""

import sys
from types import SimpleNamespace

import pytest
import torch
import transformers

from runner.cell import catalogue
from runner.worker import transformers4

POSITIONS = torch.tensor([7, 8])


def test_it_is_for_the_versions_before_five():
    assert transformers4.IS_INSTALLED is (int(transformers.__version__.split(".")[0]) < 5)


def test_a_growing_cache_is_cut_before_the_position_and_emptied():
    cache = transformers4.DynamicCache()
    rows = torch.arange(6.0).view(1, 1, 6, 1)
    cache.rows.update(rows, rows + 10, 0)
    cache.restart(4)
    assert cache.rows.get_seq_length() == 4
    keys, values = cache.rows.update(rows[:, :, :1], rows[:, :, :1], 0)
    assert keys.flatten().tolist() == [0, 1, 2, 3, 0]
    assert values.flatten().tolist() == [10, 11, 12, 13, 0]
    cache.clear()
    assert cache.rows.get_seq_length() == 0


class Preallocated:
    """As far as version 4 asks for it."""

    def __init__(self, config, max_batch_size, max_cache_len, device, dtype):
        self.asked = (config, max_batch_size, max_cache_len, device, dtype)


def test_a_static_cache_is_of_the_models_dtype_and_of_as_many_rows(monkeypatch):
    monkeypatch.setattr(sys.modules["transformers"], "StaticCache", Preallocated)
    parameter = torch.zeros(1, dtype=torch.float16)
    model = SimpleNamespace(config="config", parameters=lambda: iter([parameter]))
    cache = transformers4.StaticCache(model, 128)
    assert cache.rows.asked == ("config", 1, 128, parameter.device, torch.float16)
    rows = cache.rows
    cache.clear()
    cache.restart(5)
    assert cache.rows is rows  # the model is told where the next rows belong, instead


@pytest.mark.parametrize("cache", [transformers4.DynamicCache, transformers4.StaticCache])
def test_the_model_is_told_the_positions_themselves(cache):
    assert cache.extra_arguments(None, POSITIONS) == {"cache_position": POSITIONS}


def test_theta_and_scaling_of_the_rotation_are_arguments_of_their_own():
    llama = catalogue.models()["llama-3.1-8b"].shape
    assert llama.rope_scaling
    assert transformers4.rope_arguments(llama) == {
        "rope_theta": llama.rope_theta,
        "rope_scaling": llama.rope_scaling,
    }
