"""The prediction of what a cell needs, by hand, and against the cards of the paper."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.cell import catalogue
from runner.cell.cell import Cell
from runner.cell.protocol import NAMED
from runner.cell.scheme import Scheme
from runner.errors import Infeasible
from runner.machine import host
from runner.plan import fit

PAPER = NAMED["paper"]
L4_BYTES = 23034 * 2**20  # NVML's total of an L4: 23034 MiB


def cell(model: str, ctx: int, dtype: str = "bf16") -> Cell:
    return Cell("l4", model, ctx, "bf16", "cublas", "eager", "sdpa", "dynamic", dtype, "synthetic-v1")


def test_prefill_by_hand() -> None:
    shape = catalogue.models()["tiny"].shape
    # chunk = 64; rows = 4·128 + 2·(4·32 + 2·32) + 3·256 = 512 + 384 + 768 = 1664
    # 64·1664 = 106496; repeated K and V 2·128·64 = 16384; mask 64·64 = 4096; logits 512; in bf16 2 bytes each
    assert fit.prefill_bytes(shape, ctx=64, dtype_bytes=2, chunk_tokens=2048) == (106496 + 16384 + 4096 + 512) * 2


def test_the_prediction_by_hand() -> None:
    shape = catalogue.models()["tiny"].shape
    # a layer: q 128·128 + k, v 2·64·128 + o 128·128 + gate, up, down 3·256·128 + biases 128+2·64 = 147712
    # W = 2·147712 + norms 5·128 + embedding and head 2·512·128 = 427136 parameters, 2 bytes each
    # KV: 64 + 5 + 30 = 99 positions → 128 allocated, 2·2·64·2 = 512 bytes each
    weights, kv = 427136 * 2, 128 * 512
    expected = weights + kv + 10**9 + fit.prefill_bytes(shape, 64, 2, 2048)
    assert fit.model_bytes(cell("tiny", 64), shape, None, PAPER) == expected
    # the probe's buffer is gone when the model comes: the larger of the two counts
    assert fit.predicted_bytes(cell("tiny", 64), shape, None, PAPER, "cpu", probe=10**8) == expected + 5 * 10**8
    assert fit.predicted_bytes(cell("tiny", 64), shape, None, PAPER, "cpu", probe=10**10) == 10**10 + 5 * 10**8


def test_of_packed_weights_one_layer_is_counted_unpacked_too() -> None:
    shape, scheme = catalogue.models()["tiny"].shape, Scheme(128, sym=True)
    packed = replace(cell("tiny", 64, "fp16"), quant="gptq", kernel="exllamav2")
    # a layer's linears: q, o 2·128·128 + k, v 2·64·128 + gate, up, down 3·256·128 = 147456 weights
    # packed: 147456 / 2 codes, and for each 128 of them a scale of 2 bytes and half a byte of zero point; g_idx: none
    linears = 147456 // 2 + 147456 // 128 * 2 + 147456 // 128 // 2
    # beside them, 2 bytes each: biases 128 + 2·64 and norms 2·128 a layer, a norm 128, embedding and head 2·512·128
    others = (2 * (256 + 256) + 128 + 2 * 512 * 128) * 2
    expected = 2 * linears + others + 147456 * 2 + 128 * 512 + 10**9 + fit.prefill_bytes(shape, 64, 2, 2048)
    assert fit.model_bytes(packed, shape, scheme, PAPER) == expected


def test_a_probe_that_does_not_fit_is_said_to_be_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "last_level_cache_bytes", lambda: 2**29)
    small = replace(cell("tiny", 64), gpu="cpu")
    with pytest.raises(Infeasible, match=r"16 times the last-level cache.*free some"):
        fit.check(small, catalogue.models()["tiny"].shape, None, PAPER, "cpu", 4 * 10**9)


def test_memory_that_the_cpu_uses_too_is_said_to_be_assumed_free() -> None:
    shape = catalogue.models()["qwen2.5-7b"].shape
    small = replace(cell("qwen2.5-7b", 2048), gpu="jetson-orin-nx")
    with pytest.raises(
        Infeasible, match=r"has 16\.0 GB \(shared with the CPU; all of it is assumed to be free\): choose"
    ):
        fit.check(small, shape, None, PAPER, "cuda", 16 * 10**9)


def test_a_cell_that_is_not_bf16_is_not_called_so() -> None:
    shape = catalogue.models()["llama-3.1-8b"].shape
    with pytest.raises(Infeasible, match=r"^llama-3.1-8b 16384 fp32 eager dynamic l4 needs"):
        fit.check(cell("llama-3.1-8b", 16384, "fp32"), shape, None, PAPER, "cuda", L4_BYTES)


@pytest.mark.parametrize("model", ["qwen2.5-7b", "mistral-7b", "llama-3.1-8b"])
@pytest.mark.parametrize("ctx", [2048, 4096, 8192, 16384])
def test_all_cells_of_the_paper_fit_an_l4(model: str, ctx: int) -> None:
    fit.check(cell(model, ctx), catalogue.models()[model].shape, None, PAPER, "cuda", L4_BYTES)


def test_what_is_just_enough_is_enough() -> None:
    shape = catalogue.models()["tiny"].shape
    small = cell("tiny", 64)
    needed = fit.predicted_bytes(small, shape, None, PAPER, "cuda", probe=0)
    probe_fits = needed + 10**6  # an eighth of it is less than the model takes
    fit.check(small, shape, None, PAPER, "cuda", probe_fits)
    with pytest.raises(Infeasible):
        fit.check(small, shape, None, PAPER, "cuda", needed - 1)


def test_what_cannot_fit_is_refused_with_both_numbers() -> None:
    shape = catalogue.models()["llama-3.1-8b"].shape
    with pytest.raises(Infeasible, match=r"needs about \d+\.\d GB .* has 24\.2 GB: choose a smaller"):
        fit.check(cell("llama-3.1-8b", 65536), shape, None, PAPER, "cuda", L4_BYTES)


def test_float32_doubles_the_weights() -> None:
    shape = catalogue.models()["qwen2.5-7b"].shape
    half = cell("qwen2.5-7b", 2048)
    single = replace(half, dtype="fp32")
    more = fit.model_bytes(single, shape, None, PAPER) - fit.model_bytes(half, shape, None, PAPER)
    # 7 615 616 512 parameters, 2 bytes more each; the rest is KV and activations
    assert more > 15_231_233_024


def test_a_cards_cache_is_the_catalogues_in_bytes() -> None:
    assert fit._cache_bytes("l4") == 48 * 1024 * 1024
    assert fit._cache_bytes("a card of no catalogue") is None


def test_a_gpus_libraries_take_a_gigabyte() -> None:
    shape = catalogue.models()["tiny"].shape
    assert fit.predicted_bytes(cell("tiny", 64), shape, None, PAPER, "cuda", probe=10**10) == 10**10 + 10**9
