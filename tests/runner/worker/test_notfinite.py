"""Weights and activations that are NaN or infinite: the session's reason says so, and names the first weight."""

import copy
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import jsonschema
import pytest
import torch
from safetensors.torch import load_file, save_file

from runner.cell import catalogue
from runner.cell.jsonform import to_json
from runner.cell.scheme import Scheme
from runner.record import gaterules
from runner.record.sections.gate import NotFinite
from runner.record.verify import recompute
from runner.runtimes import eager
from runner.worker import gate, model, notfinite, session
from runner.worker.progress import Clock
from tests.support.derive import derive, judge
from tests.support.records import example_record

pytestmark = pytest.mark.usefixtures("quick_probe")

ROOT = Path(__file__).parents[3]
WRITTEN = ROOT / "tests" / "written"
SCHEMA = json.loads((ROOT / "docs" / "record.schema.json").read_text())
CPU = torch.device("cpu")
TINY = catalogue.models()["tiny"].shape
NAN, INF = float("nan"), float("inf")
EMBEDDING = "model.embed_tokens.weight"
Q = "model.layers.1.self_attn.q_proj"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    model.build_synthetic(model.Build(TINY, "bf16", None, torch.bfloat16, CPU)).save_pretrained(folder)
    return folder / "model.safetensors"


@pytest.fixture
def write(saved, tmp_path):
    """A function that writes the checkpoint with one value of some tensors replaced; returns its folder."""

    def changed(values, source=saved):
        tensors = load_file(source)
        for name, value in values.items():
            tensors[name].view(-1)[-1] = value
        save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
        return tmp_path

    return changed


def fault(folder, quant="bf16", scheme=None, dtype=torch.bfloat16):
    build = model.Build(TINY, quant, scheme, dtype, CPU)
    return notfinite.first(model.load_checkpoint(folder, build), partial(model.read_stored, folder, build))


@pytest.mark.medium
@pytest.mark.parametrize(
    ("values", "dtype", "found"),
    [
        ({f"{Q}.weight": NAN}, "bf16", (f"{Q}.weight", "NaN", "stored")),
        ({f"{Q}.bias": INF}, "bf16", (f"{Q}.bias", "inf", "stored")),
        ({"model.norm.weight": -INF}, "fp32", ("model.norm.weight", "-inf", "stored")),
        ({"lm_head.weight": NAN, EMBEDDING: INF}, "fp16", (EMBEDDING, "inf", "stored")),
        ({f"{Q}.weight": 1e6, "lm_head.weight": NAN}, "fp16", (f"{Q}.weight", "inf", "converted")),
        ({f"{Q}.weight": 1e6}, "bf16", (None, None, None)),
    ],
)  # fmt: skip
def test_the_first_weight_in_the_models_order_is_named(write, values, dtype, found):
    assert fault(write(values), dtype=model.DTYPES[dtype]) == NotFinite(*found)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("name", "quant", "scheme", "part", "value"),
    [
        ("gptq", "gptq", Scheme(128, sym=True), "scales", NAN),
        ("awq", "awq", Scheme(128), "scales", -INF),
        ("bnb-nf4", "bnb-nf4", Scheme(64, double_quant=True), "weight.nested_absmax", INF),
        ("bnb-nf4-single", "bnb-nf4", Scheme(64), "weight.absmax", NAN),
    ],
)
def test_so_is_a_tensor_of_packed_weights(write, name, quant, scheme, part, value):
    folder = write({f"{Q}.{part}": value, "model.norm.weight": NAN}, WRITTEN / name / "model.safetensors")
    said = "NaN" if value != value else str(value)
    assert fault(folder, quant, scheme) == NotFinite(f"{Q}.{part}", said, "stored")


@pytest.mark.medium
def test_and_what_only_dequantising_makes_infinite(write):
    """A float16 scale of 60000 times a code 7 away from zero is beyond float16."""
    folder = write({f"{Q}.scales": 60000.0}, WRITTEN / "gptq" / "model.safetensors")
    found = fault(folder, "gptq", Scheme(128, sym=True), torch.float16)
    assert (found.tensor, found.how) == (f"{Q}.weight", "dequantised")


@pytest.fixture
def measure(tiny_job, monkeypatch):
    Path(tiny_job.record_path).parent.mkdir()

    def run(folder, dtype="bf16", planted=lambda forward: forward):
        build = eager.build

        def build_broken(*arguments):
            step = build(*arguments)
            step.forward = planted(step.forward)
            return step

        monkeypatch.setattr(eager, "build", build_broken)
        checkpoint = None if folder is None else str(folder)
        cell = replace(tiny_job.cell, dtype=dtype)
        if folder is not None:
            cell = replace(cell, weights_id="content-0123456789abcdef")
        request = {**tiny_job.request, "weights": "synthetic" if folder is None else "local"}
        to_json(session.run(replace(tiny_job, cell=cell, request=request, checkpoint=checkpoint), Clock(1_000, 0.0)))
        found = json.loads(Path(tiny_job.record_path).read_text())
        assert recompute.differences(found) == []
        jsonschema.validate(found, SCHEMA)
        return found

    return run


@pytest.mark.slow
def test_a_session_over_a_nan_ends_with_that_reason_alone(measure, write):
    found = measure(write({f"{Q}.weight": NAN}))
    assert not found["valid"]
    assert found["reasons"] == [f"logits are not finite: {Q}.weight holds NaN: fetch or make the checkpoint again"]


@pytest.mark.slow
def test_activations_beyond_float16_are_told_from_weights(measure, saved, tmp_path):
    tensors = load_file(saved)
    tensors["model.layers.0.mlp.up_proj.weight"] *= 3e4
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    (reason,) = measure(tmp_path, dtype="fp16")["reasons"]
    said = "every weight is finite, and activations go beyond fp16: choose dtype=bf16 or fp32"
    assert reason == f"logits are not finite: {said}"


@pytest.mark.slow
def test_a_step_that_alone_is_not_finite_is_at_fault_itself(measure):
    def planted(forward):
        def broken(tokens, positions):
            logits = forward(tokens, positions)
            return logits * NAN if len(positions) == 1 and int(positions) > 95 else logits

        return broken

    found = measure(None, planted=planted)
    said = (
        "every weight is finite, and so are trusted eager's logits: the step that is timed is at fault (wall, revisit)"
    )
    assert found["reasons"] == [f"logits are not finite: {said}"]
    assert found["gate"]["not_finite"] == {"tensor": None, "value": None, "how": None}


def spoiled(**changes):
    found = example_record()
    for check in found["gate"]["checks"]:
        check["errors"] = check["trusted"] = [gaterules.NOT_FINITE] * len(check["errors"])
    found["gate"]["timed_trusted"] = [gaterules.NOT_FINITE] * found["protocol"]["steps"]
    found["gate"] |= changes
    derive(found)
    judge(found)
    return found


STORED = {"tensor": "lm_head.weight", "value": "NaN", "how": "stored"}


def test_an_older_record_keeps_the_reasons_that_it_has():
    found = spoiled()
    assert found["reasons"][0] == "trusted eager's error 1e+09 exceeds the cap 0.1"
    assert recompute.differences(found) == []


def test_what_errs_by_a_number_is_told_as_well():
    found = spoiled(not_finite=STORED)
    found["gate"]["checks"][0]["errors"][0] = 0.5
    found["gate"]["checks"][0]["errors"][1:] = [0.1] * (len(found["gate"]["checks"][0]["errors"]) - 1)
    judge(found)
    assert found["reasons"][1:] == [f"gate {found['gate']['checks'][0]['name']}: logit error 0.5 exceeds the bound 0.1"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda gate: gate.update(not_finite=STORED | {"how": None}), "does not have all of tensor, value and how"),
        (
            lambda gate: [check.update(errors=[0.0], trusted=[0.0]) for check in gate["checks"]],
            "every logit error is finite",
        ),
        (lambda gate: gate.update(not_finite=STORED | {"value": "0"}), "gate.not_finite.value"),
    ],
)
def test_verify_finds_a_record_that_says_so_without_a_cause(change, said):
    found = spoiled(not_finite=STORED)
    assert recompute.differences(copy.deepcopy(found)) == []
    change(found["gate"])
    assert any(said in line for line in recompute.differences(found))


def test_a_margin_between_logits_that_are_none_is_no_number_either():
    expectation = gate.Expectation((17,), torch.full((1, 4), NAN), (gaterules.NOT_FINITE,), finite=False, driven=1)
    assert expectation.margin(17) == 0.0


@pytest.mark.parametrize(
    ("read", "how"),
    [
        (None, notfinite.STORED),  # synthetic weights: what the model holds is what was made
        (lambda _name: torch.tensor([1.0, INF]), notfinite.STORED),
        (lambda _name: torch.tensor([1.0, 1e6]), notfinite.CONVERTED),
    ],
)
def test_a_weight_is_infinite_as_stored_or_since_it_was_converted(read, how):
    made = torch.nn.Linear(2, 1, bias=False).half()
    made.weight.data[0, 1] = INF
    assert notfinite.first(made, read) == NotFinite("weight", "inf", how)
