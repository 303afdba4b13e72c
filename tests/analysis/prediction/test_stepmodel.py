"""The model of a step by hand: each term, and the one that wins."""

from dataclasses import replace

import pytest

from analysis.prediction import stepmodel
from analysis.prediction.constants import Products
from analysis.prediction.workload import Workload
from tests.support.predictions import EAGER, FUSED, GRAPH, TRUTH

WORK = Workload(layers=2, matrices=(80e6, 1e6), head_bytes=90e6, attended=3.0, streamed_bytes=252e6)


def test_a_product_takes_the_longest_of_memory_kernel_and_least_time():
    products = Products("awq", "marlin", 0.5, 0.5, 8.0)
    # at 1000 GB/s half of it reads 0.5 MB a µs; the kernel takes 0.5 µs a MB
    assert stepmodel.product_us(100e6, products, 1000.0) == 200.0
    assert stepmodel.product_us(100e6, products, 100_000.0) == 50.0
    assert stepmodel.product_us(1e6, products, 100_000.0) == 8.0


def test_a_step_of_the_device_by_hand():
    # head: 90 MB at 0.9 of 1000 GB/s: 100 µs. A layer: 80 MB at 0.8: 100 µs; 1 MB: at least 8 µs; attention 10 + 3 * 5;
    # others 64: together 197 µs. 100 kernels with gaps of 0.3 µs; read-back 0.05 ms
    step = stepmodel.step(TRUTH, GRAPH, WORK, 1000.0)
    assert step.device_ms == pytest.approx((100 + 2 * 197 + 100 * 0.3) / 1e3)
    assert (step.host_ms, step.added_ms) == (0.0, 0.05)
    assert step.ms == step.device_ms + 0.05
    assert step.memory_us == pytest.approx(100 + 2 * 100)


def test_the_slower_of_host_and_device_sets_the_pace():
    # 100 kernels of 16 µs
    step = stepmodel.step(TRUTH, EAGER, WORK, 1000.0)
    assert step.host_ms == pytest.approx(1.6)
    assert step.ms == pytest.approx(1.6 + 0.05 + 40)
    assert step.limit == "host-bound"
    slow = stepmodel.step(TRUTH, EAGER, WORK, 100.0)
    assert slow.device_ms > slow.host_ms
    assert slow.ms == slow.device_ms + 40.05
    assert slow.limit == "memory"


def test_kernels_limit_a_step_if_memory_takes_less_than_half():
    assert stepmodel.step(TRUTH, GRAPH, WORK, 1000.0).limit == "memory"
    assert stepmodel.step(TRUTH, GRAPH, replace(WORK, attended=50.0), 1000.0).limit == "kernels"


def test_a_step_that_is_one_kernel_streams_its_bytes():
    work = Workload(30, (34e6,), 85e6, 0.0, 1105e6)
    # a layer's 34 MB at 0.85 of 1000 GB/s: 40 µs; 85 MB of the head: 100 µs; one gap of 6 µs, and 0.06 ms of read-back
    step = stepmodel.step(TRUTH, FUSED, work, 1000.0)
    assert step.ms == pytest.approx(1.2 + 0.1 + 0.006 + 0.06, rel=1e-5)
    assert step.limit == "memory"


def test_a_layer_of_one_kernel_takes_at_least_the_time_of_its_exchanges():
    work = Workload(30, (34e6,), 85e6, 0.0, 1105e6)
    plain, packed, fused = TRUTH.products
    slow = replace(TRUTH, products=(plain, packed, replace(fused, fixed_us=50.0)))
    step = stepmodel.step(slow, FUSED, work, 1000.0)
    assert step.ms == pytest.approx(30 * 0.05 + 0.1 + 0.006 + 0.06, rel=1e-5)
    assert (step.limit, step.memory_us) == ("kernels", pytest.approx(100.0))
