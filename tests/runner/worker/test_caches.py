"""Rows of a cache: which are spoilt, which are read, and what a cache shows itself to be."""

from types import SimpleNamespace

import pytest
import torch

from runner.cell import floors
from runner.declarations import POISON
from runner.worker import caches, model


def held(axis=2):
    """Two tensors of one batch, two heads, five positions and three values; those of `axis` 1 have positions first."""
    first = torch.arange(30.0).view(1, 2, 5, 3)
    both = [first, first + 100]
    return both if axis == 2 else [each.transpose(1, 2).contiguous() for each in both]


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("position", [0, 3, 5, 9])
def test_spoiling_overwrites_all_rows_from_the_position_on_and_none_before(axis, position):
    tensors, before = held(axis), held(axis)
    caches.poison(tensors, position, axis)
    for tensor, whole in zip(tensors, before, strict=True):
        rows, others = tensor.movedim(axis, 0), whole.movedim(axis, 0)
        assert torch.equal(rows[:position], others[:position])
        assert (rows[position:] == POISON).all()


@pytest.mark.parametrize("axis", [1, 2])
def test_rows_are_read_by_position_with_each_tensors_values_together(axis):
    found = caches.rows_between(held(axis), 1, 3, axis)
    assert found.shape == (2, 2, 6)  # positions, tensors, heads times values
    assert found[0, 0].tolist() == [3, 4, 5, 18, 19, 20]
    assert found[1, 1].tolist() == [106, 107, 108, 121, 122, 123]


@pytest.mark.parametrize(("start", "stop", "count"), [(3, 9, 2), (5, 7, 0), (8, 9, 0), (0, 5, 5)])
def test_there_are_fewer_rows_where_the_cache_ends(start, stop, count):
    assert len(caches.rows_between(held(), start, stop, 2)) == count


def layers():
    keys, values = held()
    return SimpleNamespace(layers=[SimpleNamespace(keys=keys, values=values)])


def test_keys_and_values_are_tensors_of_their_own_in_both_versions():
    keys, values = held()
    older = SimpleNamespace(key_cache=[keys], value_cache=[values])
    for rows in (layers(), older):
        found = caches.tensors(rows)
        assert [float(each.flatten()[0]) for each in found] == [0.0, 100.0]


def test_a_cache_grows_where_it_holds_no_more_than_the_rows_before_the_position():
    assert caches.detected_kind(layers(), 5) == "dynamic"
    assert caches.detected_kind(layers(), 4) == "static"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_static_cache_has_all_of_its_rows_when_it_is_made(tiny_job, dtype):
    """So that what a step holds shows the context that it was built for."""
    shape = tiny_job.shape
    build = model.Build(shape, "bf16", None, dtype, torch.device("cpu"))
    held = caches.tensors(caches.make("static", model.build_synthetic(build), 96).rows)
    sizes = [each.numel() * each.element_size() for each in held]
    per_token = floors.kv_bytes_per_token(shape, dtype.itemsize)
    assert sum(sizes) == 96 * per_token


def test_a_static_cache_goes_back_by_its_count_and_keeps_its_memory():
    counts = [torch.tensor([9]), torch.tensor([9])]
    cache = caches.StaticCache.__new__(caches.StaticCache)
    # a layer may count in Python
    cache.rows = SimpleNamespace(layers=[SimpleNamespace(cumulative_length=each) for each in (*counts, 0)])
    cache.restart(4)
    assert [int(each) for each in counts] == [4, 4]
    cache.clear()
    assert [int(each) for each in counts] == [0, 0]
