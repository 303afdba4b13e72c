"""The head of a record: its cell and key, its protocol, its model, and how the session ended."""

from dataclasses import replace

import pytest

from runner.cell import catalogue
from runner.cell.scheme import Scheme
from runner.record.verify import recompute
from tests.support.edits import drop, put, rename_cell
from tests.support.records import cpu_record, example_record, failed_record, packed_record
from tests.support.verify import (
    assert_named,
    awq,
    committed,
    engine,
    gptq,
    lines_about,
    lines_with_given_keys,
    nf4,
    of_checkpoint,
    right,
    tail_long,
)

# what is falsified in which record, and how the line begins that names it
LIES = [
    (
        example_record,
        put("protocol.steps", 31),
        "protocol: 5 warm-up and 31 timed steps, but paper has 5 warm-up and 30 timed steps",
    ),
    (example_record, put("model.shape", lambda shape: {**shape, "layers": 27}), "model.shape: not that of qwen2.5-7b"),
    (example_record, put("keys.cell_key", "0" * 12), "keys.cell_key: not this cell's"),
    (committed, put("cell.ctx", 4096), "keys.cell_key: not this cell's"),
    (example_record, rename_cell(gpu="h100"), "gpu.key: 'h200', but cell.gpu is 'h100'"),
    (example_record, rename_cell(model="mistral-7b"), "model.name: 'qwen2.5-7b', but cell.model is 'mistral-7b'"),
    (example_record, rename_cell(cache="engine"), "cell.cache: 'engine' does not go with eager"),
    (example_record, rename_cell(kernel="torch-cpu"), "cell.gpu: 'cuda' does not go with torch-cpu"),
    (gptq, drop("model.scheme"), "model.scheme: missing, but the weights are gptq"),
    (
        example_record,
        put("model", lambda found: {**found, "scheme": Scheme(128).to_json()}),
        "model.scheme: present, but the weights are bf16",
    ),
    (gptq, put("model.scheme.sym", False), "model.scheme: {'desc_act': False, 'double_quant'"),
    (gptq, put("model.scheme.double_quant", True), "model.scheme: gptq is never double_quant"),
    (awq, put("model.scheme.sym", True), "model.scheme: awq is never sym"),
    (awq, put("model.scheme.desc_act", True), "model.scheme: awq is never desc_act"),
    (awq, put("model.scheme.group_size", 256), "model.scheme: marlin does not support it: it takes groups of 32"),
    (nf4, put("model.scheme.group_size", 128), "model.scheme: bnb-nf4 has groups of 64, not of 128"),
    (nf4, put("model.scheme.sym", True), "model.scheme: bnb-nf4 is never sym"),
    # Qwen2.5-7B's 3584 inputs are 28 groups of 128, and no whole number of 96
    (of_checkpoint, put("model.scheme.group_size", 96), "model.scheme.group_size: 96 does not divide 3584 inputs"),
    (gptq, rename_cell(options={}), "cell.options: without sym"),
    (failed_record, put("keys.cell_key", "0" * 12), "keys.cell_key: not this cell's"),
]


@pytest.mark.parametrize(("make", "falsify", "line"), LIES, ids=[line for _, _, line in LIES])
def test_a_falsified_record_is_named_even_when_all_that_follows_was_derived_again(make, falsify, line):
    lines = lines_with_given_keys(right(make), falsify)
    assert any(said.startswith(line) for said in lines), lines


BROKEN = {
    "a named protocol with another number of windows": (
        tail_long,
        put("protocol.windows", 9),
        "protocol: 5 warm-up and 300 timed steps in each of 9 windows, but tail-long has 5 warm-up and 300 timed steps",
    ),
    "several windows of a growing cache": (
        lambda: example_record(protocol={"name": "custom", "steps": 9, "windows": 4}),
        put("cell.cache", "dynamic"),
        "protocol: only the first of 4 windows meets each length of a dynamic cache for the first time",
    ),
    "a kernel of another format": (
        example_record,
        put("cell.quant", "awq"),
        "cell.quant: 'awq' does not go with cublas",
    ),
    "a kernel of another dtype": (
        packed_record,
        put("cell.dtype", "fp32"),
        "cell.dtype: 'fp32' does not go with exllam",
    ),
    "a runtime of another device": (
        cpu_record,
        put("cell.runtime", "graph"),
        "cell.gpu: 'cpu' does not go with graph",
    ),
    "a runtime of another format": (
        example_record,
        put("cell.runtime", "exllamav2"),
        "cell.quant: 'bf16' does not go with exllamav2 (allowed: gptq)",
    ),
    "a runtime of another kernel": (
        engine,
        put("cell.kernel", "marlin"),
        "cell.kernel: 'marlin' does not go with exllamav2",
    ),
    "a runtime with another attention": (
        example_record,
        put("cell.attention", "engine"),
        "cell.attention: 'engine' does not go with eager",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_a_rule_is_named(name):
    assert_named(*BROKEN[name])


HONEST = {
    **{f"the flag {flag}": (example_record, put("given_flags", [flag])) for flag in ("other-tree", "shared-host")},
    "the flag shared-card": (example_record, put("given_flags", ["shared-card"])),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_session_is_right(name):
    make, edit = HONEST[name]
    assert lines_about(make(), edit) == []


def test_a_checkpoint_may_untie_a_tied_model_and_synthetic_weights_may_not(monkeypatch):
    model = catalogue.models()["qwen2.5-7b"]
    tied = replace(model, shape=replace(model.shape, tied_embedding=True))
    monkeypatch.setattr(catalogue, "models", lambda: {"qwen2.5-7b": tied})
    assert recompute.differences(example_record(cell={"weights_id": "content-0123456789abcdef"})) == []
    assert "model.shape: not that of qwen2.5-7b" in recompute.differences(example_record())


def test_a_checkpoint_ties_no_untied_model():
    found = example_record(cell={"weights_id": "content-0123456789abcdef"})
    found["model"]["shape"]["tied_embedding"] = True
    assert "model.shape: not that of qwen2.5-7b" in recompute.differences(found)
