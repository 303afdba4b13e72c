"""Fields of a study file: values become a request's text, and wrong ones are named by file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import BadValue, DecodeFloorError, NotAvailable, UnknownName
from tests.support.studyfiles import read


@pytest.mark.parametrize(
    ("text", "field", "values"),
    [
        ("ctx: 2048", "ctx", ["2048"]),
        ("ctx: [2048, 16384]", "ctx", ["2048", "16384"]),
        ("ctx: ['2048', auto]", "ctx", ["2048", "auto"]),
        ("ctx: 0x800", "ctx", ["2048"]),
        ("ctx: 2_048", "ctx", ["2048"]),
        ("ctx:\n  - 64\n  - 128", "ctx", ["64", "128"]),
        ("device: 0", "device", ["0"]),
        ("options: sdpa:flash", "options", ["sdpa:flash"]),
        ("options: 'double-quant:off'", "options", ["double-quant:off"]),
        ("weights: ~/my models", "weights", ["~/my models"]),
        ("weights: [synthetic, hub, env:W]", "weights", ["synthetic", "hub", "env:W"]),
        ("seed: [0, 1]", "seed", ["0", "1"]),
        ("steps: 300", "steps", ["300"]),
        ("windows: [10, '190', auto]", "windows", ["10", "190", "auto"]),
        ("gpu: h100\nenergy: on", "energy", ["on"]),  # which YAML reads as true
        ("energy: [off, auto]", "energy", ["off", "auto"]),
    ],
)
def test_a_value_becomes_the_text_of_a_request(tmp_path: Path, text: str, field: str, values: list[str]) -> None:
    study = read(tmp_path, "matrix:\n  " + text.replace("\n", "\n  ") + "\n")
    assert [getattr(entry.request, field) for entry in study.entries] == values


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("gpus: h100", UnknownName, "3: matrix.gpus: unknown key; did you mean gpu? (allowed: gpu, model, ctx, quant"),
        ("colour: red", UnknownName, "3: matrix.colour: unknown key (allowed: gpu, model"),
        ("study: x", BadValue, "3: matrix.study: not a field of the matrix: the study's name is written at the top of"),
        (
            "protocol: tail",
            BadValue,
            "3: matrix.protocol: not a field of the matrix: a study has one protocol, written",
        ),
        ("gpu: h10", UnknownName, "3: matrix.gpu: unknown gpu 'h10'; did you mean h100? (allowed: auto, h100, a100"),
        ("gpu:\n  - l4\n  - H100", UnknownName, "5: matrix.gpu[1]: unknown gpu 'H100'; did you mean h100?"),
        ("model: qwen2.5", UnknownName, "3: matrix.model: unknown model 'qwen2.5'; did you mean qwen2.5-7b?"),
        ("quant: nf4", UnknownName, "3: matrix.quant: unknown quant 'nf4'; did you mean bnb-nf4?"),
        ("kernel: marlins", UnknownName, "3: matrix.kernel: unknown kernel 'marlins'; did you mean marlin?"),
        ("runtime: graphs", UnknownName, "3: matrix.runtime: unknown runtime 'graphs'; did you mean graph?"),
        ("cache: statics", UnknownName, "3: matrix.cache: unknown cache 'statics'; did you mean static?"),
        ("dtype: bf32", UnknownName, "3: matrix.dtype: unknown dtype 'bf32'; did you mean fp32? (allowed: auto, bf16"),
        ("attention: flash-attn", NotAvailable, "3: matrix.attention: attention=flash-attn is not available in this"),
        ("where: there", UnknownName, "3: matrix.where: unknown where 'there'; did you mean here?"),
        ("stack: old", UnknownName, "3: matrix.stack: unknown stack 'old' (allowed: auto, modern, paper)"),
        ("energy: yess", UnknownName, "3: matrix.energy: unknown energy 'yess' (allowed: auto, on, off)"),
        ("seed: on", BadValue, "3: matrix.seed: true is not a value of seed: write text in quotes, or a whole number"),
        ("ctx: 0", BadValue, "3: matrix.ctx: ctx=0: must be at least 1"),
        ("ctx: -5", BadValue, "3: matrix.ctx: ctx=-5: must be at least 1"),
        ("ctx: 2k", BadValue, "3: matrix.ctx: ctx=2k: must be a whole number of at least 1"),
        (
            "ctx: 2048.0",
            BadValue,
            "3: matrix.ctx: 2048.0 is not a value of ctx: write text in quotes, or a whole number",
        ),
        ("ctx: 99999999999999999999", BadValue, "3: matrix.ctx: ctx=99999999999999999999: must be at most 92233720"),
        ("device: 1e5", BadValue, "3: matrix.device: 100000.0 is not a value of device: write text in quotes"),
        ("gpu: true", BadValue, "3: matrix.gpu: true is not a value of gpu: write text in quotes, or a whole number"),
        ("options: off", BadValue, "3: matrix.options: false is not a value of options: write text in quotes"),
        ("model: null", BadValue, "3: matrix.model: null is not a value of model: write auto, or leave the field out"),
        ("model:", BadValue, "3: matrix.model: null is not a value of model: write auto, or leave the field out"),
        ("model: 2026-01-01", BadValue, "3: matrix.model: datetime.date(2026, 1, 1) is not a value of model: write"),
        ("model: [tiny, null]", BadValue, "3: matrix.model[1]: null is not a value of model: write auto"),
        ("ctx: [64, [128, 256]]", BadValue, "3: matrix.ctx[1]: a list is not a value of ctx: write text or a whole"),
        ("options: {mode: default}", BadValue, "3: matrix.options: a mapping is not a value of options: write text or"),
        ("options: mode", BadValue, "3: matrix.options: options=mode: must be name:value,name:value with each name"),
        ("ctx: []", BadValue, "3: matrix.ctx: an empty list: give it a value, or leave the field out"),
        ("gpu: ''", BadValue, "3: matrix.gpu: gpu='' is empty: give it a value, or leave it out"),
        ("model: a;b", BadValue, "3: matrix.model: model='a;b': only letters, digits and . _ : , / + @ = ~ - are"),
        ("weights: '$(ls)'", BadValue, "3: matrix.weights: weights='$(ls)': only letters, digits and"),
        ("gpu: [h100, l4, h100]", BadValue, "3: matrix.gpu: h100 occurs twice, in lines 3 and 3: keep one of them"),
        ("ctx:\n  - 64\n  - '64'", BadValue, "3: matrix.ctx: 64 occurs twice, in lines 4 and 5: keep one of them"),
    ],
)
def test_a_wrong_field_or_value_is_named_with_its_place(
    tmp_path: Path, text: str, kind: type[DecodeFloorError], said: str
) -> None:
    with pytest.raises(DecodeFloorError) as caught:
        read(tmp_path, "sessions: 2\nmatrix:\n  " + text.replace("\n", "\n  ") + "\n")
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"floor.yaml:{said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("matrix: {}", "1: matrix: has no fields: add one, such as gpu, model or ctx"),
        ("matrix:", "1: matrix: null is not a mapping of names to values: write one"),
        ("matrix: []", "1: matrix: a list is not a mapping of names to values: write one"),
        ("include:\n  - {}", "2: include[0]: has no fields: add one"),
        ("include:\n  - ctx: 64\n  - l4", "3: include[1]: 'l4' is not a mapping of names to values: write one"),
    ],
)
def test_a_matrix_without_fields_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadValue) as caught:
        read(tmp_path, text + "\n")
    assert str(caught.value).startswith(f"floor.yaml:{said}")
