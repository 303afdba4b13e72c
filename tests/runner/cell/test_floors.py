"""DESIGN's table of bytes, recomputed by hand arithmetic."""

import pytest

from runner import registry
from runner.cell import catalogue, floors

GB = 1e9


def test_weight_bytes_of_qwen_by_hand():
    # layer: q 3584*3584+3584, k and v (512*3584+512) each, o 3584*3584, three 3584*18944, two norms of 3584
    layer = 3584 * 3584 + 3584 + 2 * (512 * 3584 + 512) + 3584 * 3584 + 3 * 3584 * 18944 + 2 * 3584
    total = 28 * layer + 3584 + 2 * 152064 * 3584
    shape = catalogue.models()["qwen2.5-7b"].shape
    assert registry.weight_bytes("bf16", None, shape, 2) == 2 * total == 15_231_233_024
    assert floors.embedding_bytes(shape, 2) == 152064 * 3584 * 2


@pytest.mark.parametrize(
    ("name", "weights_gb", "streamed_gb", "kv_bytes"),
    [
        ("qwen2.5-7b", 15.231, 14.141, 57_344),  # 2 * 28 * 4 * 128 * 2
        ("mistral-7b", 14.496, 14.228, 131_072),  # 2 * 32 * 8 * 128 * 2
        ("llama-3.1-8b", 16.061, 15.010, 131_072),
    ],
)
def test_the_designs_table(name, weights_gb, streamed_gb, kv_bytes):
    shape = catalogue.models()[name].shape
    weights = registry.weight_bytes("bf16", None, shape, 2)
    assert weights / GB == pytest.approx(weights_gb, abs=0.0006)
    assert (weights - floors.embedding_bytes(shape, 2)) / GB == pytest.approx(streamed_gb, abs=0.0006)
    assert floors.kv_bytes_per_token(shape, 2) == kv_bytes


def test_a_tied_embedding_is_counted_once_and_streamed():
    # layer: q 896*896+896, k and v (128*896+128) each, o 896*896, three 896*4864, two norms of 896
    layer = 896 * 896 + 896 + 2 * (128 * 896 + 128) + 896 * 896 + 3 * 896 * 4864 + 2 * 896
    shape = catalogue.models()["qwen2.5-0.5b"].shape
    assert shape.tied_embedding
    assert registry.weight_bytes("bf16", None, shape, 2) == 2 * (24 * layer + 896 + 151_936 * 896)
    assert floors.embedding_bytes(shape, 2) == 0


@pytest.mark.parametrize(("bandwidth", "floor"), [(4800, 2.97), (3350, 4.26), (2039, 6.99), (864, 16.50), (300, 47.5)])
def test_floors_of_qwen_at_2048(bandwidth, floor):
    # (14.1413e9 + 2048 * 57344) / bandwidth, e.g. 14.2587e9 B / 4800e9 B/s = 2.9706 ms
    shape = catalogue.models()["qwen2.5-7b"].shape
    weights = registry.weight_bytes("bf16", None, shape, 2)
    streamed = floors.bytes_streamed(weights, floors.embedding_bytes(shape, 2), 2048 * 57_344)
    assert floors.floor_ms(streamed, bandwidth) == pytest.approx(floor, rel=0.002)
    assert floors.bytes_paper(weights, 2048 * 57_344) == weights + 117_440_512


def test_static_allocation_is_a_fixed_formula():
    assert floors.kv_alloc_tokens(2048, 5, 30) == 2112  # 2083 rounded up to a multiple of 64
    assert floors.kv_alloc_tokens(1, 1, 3) == 64  # the gate at 17 needs 25
    assert floors.sequence_tokens(2048, 5, 30) == 2083


def test_the_gate_drives_what_the_tokens_of_a_session_allow() -> None:
    assert floors.teacher_forced_steps(2048, 5, 30) == 32  # of 35
    assert floors.teacher_forced_steps(2048, 1, 9) == 10
    assert floors.teacher_forced_steps(2048, 1, 3) == 8  # for which there are tokens beyond the timed steps
    assert floors.teacher_forced_steps(1, 5, 30) == 19  # 36 tokens, from 17


def test_the_timed_steps_consume_the_last_positions() -> None:
    # 5 steps of warm-up from 2048 on, then 30: the last consumes what stands at 2082
    assert floors.timed_positions(2048, 5, 30) == range(2053, 2083)
    assert floors.last_position(2048, 5, 30) == 2082


def test_the_probe_by_hand() -> None:
    # 16 · 512 MiB on a processor with a very large cache; an unknown cache counts as 32 MiB
    assert floors.read_probe_bytes("cpu", 2**29, 2**40) == 2**33
    assert floors.read_probe_bytes("cpu", None, 2**40) == 2**29
    assert floors.PROBE_SAMPLES == 5
    # a card: 4 GiB of 80, an eighth of 16 GiB
    assert floors.read_probe_bytes("cuda", 50 * 2**20, 80 * 2**30) == 2**32
    assert floors.read_probe_bytes("cuda", 50 * 2**20, 16 * 2**30) == 2**31


def test_a_floor_is_bytes_over_bandwidth():
    assert floors.floor_ms(3_350_000_000, 3350) == pytest.approx(1.0, rel=1e-12)  # 3.35e9 / (3350 * 1e9) s
    assert floors.DTYPE_BYTES == {"bf16": 2, "fp16": 2, "fp32": 4}
