"""Floors of GPUs that were never measured, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cell import catalogue
from runner.errors import BadValue, UnknownName
from runner.plan import gpufloors

# Qwen2.5-7B, 28 layers: q, o 2·3584·3584 + k, v 2·512·3584 + gate, up, down 3·18944·3584 weights each
LINEARS = 28 * (2 * 3584 * 3584 + 2 * 512 * 3584 + 3 * 18944 * 3584)
# biases of q, k and v and two norms a layer, the last norm, and the head; the input embedding is not read: W - E
OTHERS = 28 * (3584 + 2 * 512 + 2 * 3584) + 3584 + 152064 * 3584
KV = 2048 * 2 * 28 * 512 * 2  # K: keys and values of 2048 positions, 28 layers, 4 heads of 128, 2 bytes
BF16 = 2 * (LINEARS + OTHERS) + KV
# 4 bits a weight; for each 128 of them a scale of 2 bytes and a zero point of half a byte
GPTQ = LINEARS // 2 + LINEARS // 128 * 5 // 2 + 2 * OTHERS + KV


def floors_of(gpu: str) -> dict[str, float | None]:
    step = gpufloors.step("qwen2.5-7b", "2048")
    assert step is not None
    return step.floors_ms(catalogue.gpus()[gpu])


@pytest.mark.parametrize("gpu", ["jetson-thor", "gb10"])
def test_thor_and_spark_read_273_gigabytes_a_second(gpu: str) -> None:
    assert (BF16, GPTQ) == (14_258_678_784, 4_598_193_152)
    # 14.259e9 / 273e9 = 52.2 ms; 4.598e9 / 273e9 = 16.8 ms
    assert floors_of(gpu) == {"bf16": pytest.approx(BF16 / 273e6), "gptq": pytest.approx(GPTQ / 273e6)}
    assert [round(floor_ms or 0) for floor_ms in floors_of(gpu).values()] == [52, 17]


def test_the_documentation_has_these_numbers() -> None:
    page = " ".join((Path(__file__).parents[3] / "docs" / "usage.md").read_text().split())
    thor = floors_of("jetson-thor")
    assert f"must read {BF16 / 1e9:.2f} GB in bf16 and {GPTQ / 1e9:.2f} GB with int4 weights" in page
    assert f"at least {thor['bf16']:.0f} ms and {thor['gptq']:.0f} ms there" in page


def test_an_orin_that_no_device_is_matched_to_has_floors() -> None:
    # 14.259e9 / 204.8e9 = 69.6 ms; half the bandwidth doubles it
    assert floors_of("jetson-orin") == {"bf16": pytest.approx(BF16 / 204.8e6), "gptq": pytest.approx(GPTQ / 204.8e6)}
    assert floors_of("jetson-orin-nx")["bf16"] == pytest.approx(2 * (floors_of("jetson-orin")["bf16"] or 0))


def test_without_a_bandwidth_there_is_no_floor() -> None:
    assert floors_of("cpu") == {"bf16": None, "gptq": None}


def test_without_a_model_there_is_no_step_and_without_a_ctx_a_default_one() -> None:
    assert gpufloors.step(None, None) is None
    assert gpufloors.step("qwen2.5-7b", None) == gpufloors.step("qwen2.5-7b", "2048")


@pytest.mark.parametrize(
    ("model", "ctx", "kind", "message"),
    [
        ("qwen", None, UnknownName, "unknown model 'qwen'; did you mean qwen2.5-7b"),
        (None, "2048", BadValue, "--ctx is of a model's step: add --model"),
        ("qwen2.5-7b", "0", BadValue, "ctx"),
        ("qwen2.5-7b", "much", BadValue, "ctx"),
        ("qwen2.5-7b", "32769", BadValue, "ctx=32769 goes beyond the 32768 positions of qwen2.5-7b: choose at most"),
    ],
)
def test_a_step_that_cannot_be_is_refused(model: str | None, ctx: str | None, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        gpufloors.step(model, ctx)
