"""The packages' kernels on a GPU, on the tiny model, and the traps in which one of them gave fast wrong answers."""

import gc
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from runner import registry
from runner.cell.jsonform import to_json
from runner.cell.scheme import Scheme
from runner.record.verify import recompute
from runner.worker import plainlinear, session
from runner.worker.progress import Clock

pytestmark = pytest.mark.gpu

GOLDEN = Path(__file__).parents[2] / "golden"
WRITTEN = Path(__file__).parents[2] / "written"
SYMMETRIC, ASYMMETRIC = Scheme(128, sym=True), Scheme(128)
KERNELS = [
    ("bnb-nf4", "bitsandbytes", Scheme(64, double_quant=True), {"double-quant": "on"}),
    ("bnb-nf4", "bitsandbytes", Scheme(64), {"double-quant": "off"}),
    ("awq", "marlin", ASYMMETRIC, {}),
    ("awq", "autoawq-triton", ASYMMETRIC, {}),
    ("gptq", "exllamav2", SYMMETRIC, {"sym": "true"}),
    ("gptq", "exllamav2", ASYMMETRIC, {"sym": "false"}),
    ("gptq", "marlin", SYMMETRIC, {"sym": "true"}),
]
LAYERS = [case[:3] for case in KERNELS]
NAMES = [f"{quant}-{kernel}-{number}" for number, (quant, kernel, *_) in enumerate(KERNELS)]


def needs(kernel):
    declared = registry.kernel(kernel).DECLARATION
    if importlib.util.find_spec(declared.module) is None:
        pytest.skip(f"hardware: needs a GPU host with {declared.package}")
    return declared


@pytest.mark.parametrize("runtime", ["eager", "graph"])
@pytest.mark.parametrize(("quant", "kernel", "scheme", "options"), KERNELS, ids=NAMES)
def test_a_session_on_each_kernel_is_valid(packed_job, quant, kernel, scheme, options, runtime):
    needs(kernel)
    asked = packed_job(quant, kernel, scheme, runtime, options=options)
    found = to_json(session.run(asked, Clock(1_000, 0.0)))
    assert found["valid"], found["reasons"]
    assert recompute.differences(json.loads(Path(asked.record_path).read_text())) == []
    assert found["actual"]["products_per_step"] >= 7 * asked.shape.layers


@pytest.mark.parametrize(
    ("name", "quant", "kernel", "scheme"),
    [
        ("bnb-nf4", "bnb-nf4", "bitsandbytes", Scheme(64, double_quant=True)),
        ("awq", "awq", "marlin", ASYMMETRIC),
        ("awq", "awq", "autoawq-triton", ASYMMETRIC),
        ("gptq", "gptq", "marlin", SYMMETRIC),
        ("gptq-asym", "gptq", "exllamav2", ASYMMETRIC),
        ("gptq-desc-act", "gptq", "exllamav2", Scheme(128, sym=True, desc_act=True)),
        ("gptq-desc-act", "gptq", "marlin", Scheme(128, sym=True, desc_act=True)),
    ],
)
def test_a_session_over_a_written_checkpoint_is_valid(packed_job, name, quant, kernel, scheme):
    needs(kernel)
    asked = of_checkpoint(packed_job(quant, kernel, scheme, "graph"), name)
    found = to_json(session.run(asked, Clock(1_000, 0.0)))
    assert found["valid"], found["reasons"]
    assert recompute.differences(json.loads(Path(asked.record_path).read_text())) == []


def of_checkpoint(job, name):
    cell = replace(job.cell, weights_id="content-0123456789abcdef")
    request = {**job.request, "weights": "local"}
    return replace(job, cell=cell, request=request, checkpoint=str(WRITTEN / name))


def layer(quant, kernel, scheme, rows=512, columns=1024):
    """The kernel's layer, and the matrix it stands for."""
    linear = torch.nn.Linear(columns, rows, dtype=torch.half, device="cuda")
    plain = plainlinear.quantised(linear, quant, scheme)
    matrix, bias = plain.matrix(torch.float32), linear.bias.float()
    made = next(iter(registry.packed_kernel(kernel).linears([plain])))
    return made, matrix, bias


@pytest.mark.parametrize("tokens", [1, 3, 40, 300, 1100])
@pytest.mark.parametrize(("quant", "kernel", "scheme"), LAYERS, ids=NAMES)
def test_a_layer_multiplies_into_memory_that_was_not_clear(quant, kernel, scheme, tokens):
    """Its output comes from memory that is full of NaN, and it is read as soon as the kernel is done."""
    needs(kernel)
    with torch.inference_mode():
        made, matrix, bias = layer(quant, kernel, scheme)
        x = torch.randn(1, tokens, matrix.shape[1], dtype=torch.half, device="cuda")
        expected = torch.nn.functional.linear(x.float(), matrix, bias)
        for _ in range(3):
            poison = [
                torch.full((1, tokens, matrix.shape[0]), torch.nan, dtype=torch.half, device="cuda") for _ in "123"
            ]
            del poison
            error = (made(x).float() - expected).norm() / expected.norm()
            assert error < 5e-3


@pytest.mark.parametrize(("quant", "kernel", "scheme"), LAYERS, ids=NAMES)
def test_a_layer_keeps_alive_what_its_kernel_points_to(quant, kernel, scheme):
    needs(kernel)
    with torch.inference_mode():
        made, matrix, bias = layer(quant, kernel, scheme)
        gc.collect()
        torch.cuda.empty_cache()
        garbage = [torch.randint(255, (2**20,), dtype=torch.uint8, device="cuda") for _ in range(64)]
        x = torch.randn(1, 1, matrix.shape[1], dtype=torch.half, device="cuda")
        expected = torch.nn.functional.linear(x.float(), matrix, bias)
        assert (made(x).float() - expected).norm() / expected.norm() < 5e-3
        assert garbage


@pytest.mark.parametrize(("quant", "kernel", "scheme"), LAYERS, ids=NAMES)
def test_a_graph_holds_the_product(quant, kernel, scheme):
    """A kernel that launches on another stream leaves a graph without it, which is fast and changes nothing."""
    assert needs(kernel).capturable
    with torch.inference_mode():
        made, matrix, bias = layer(quant, kernel, scheme)
        x = torch.randn(1, 1, matrix.shape[1], dtype=torch.half, device="cuda")
        for _ in range(3):
            made(x)
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            out = made(x)
        x.normal_()
        out.fill_(torch.nan)
        captured.replay()
        expected = torch.nn.functional.linear(x.float(), matrix, bias)
        assert (out.float() - expected).norm() / expected.norm() < 5e-3


@pytest.mark.parametrize("kernel", ["exllamav2", "marlin"])
def test_inputs_in_the_order_of_their_activations_are_honoured(kernel):
    """The matrix that GPTQModel packed with desc_act, multiplied by each kernel."""
    needs(kernel)
    tensors = load_file(GOLDEN / "gptq-desc-act.safetensors", device="cuda")
    packed = {name: tensors[name] for name in ("qweight", "qzeros", "scales", "g_idx")}
    size = tuple(tensors["dequantised"].shape)
    scheme = Scheme(128, sym=True, desc_act=True)
    plain = plainlinear.PlainLinear("gptq", scheme, size, packed, None, torch.half)
    with torch.inference_mode():
        made = next(iter(registry.packed_kernel(kernel).linears([plain])))
        x = torch.randn(1, 1, size[1], dtype=torch.half, device="cuda")
        expected = torch.nn.functional.linear(x.float(), tensors["dequantised"].float())
        assert (made(x).float() - expected).norm() / expected.norm() < 5e-3


def test_the_engine_says_what_the_reference_says(engine_job):
    found = to_json(session.run(engine_job, Clock(1_000, 0.0)))
    assert found["valid"], found["reasons"]
    assert recompute.differences(json.loads(Path(engine_job.record_path).read_text())) == []
    assert found["actual"]["settings"]["embedding"] == "cpu"
    assert found["actual"]["graph_mode"] == "partial"


@pytest.mark.parametrize(
    ("name", "scheme"),
    [("gptq", SYMMETRIC), ("gptq-asym", ASYMMETRIC), ("gptq-desc-act", Scheme(128, sym=True, desc_act=True))],
)
def test_the_engine_runs_a_written_checkpoint(engine_job, name, scheme):
    cell = replace(engine_job.cell, options={"sdpa": "flash"})
    found = to_json(session.run(of_checkpoint(replace(engine_job, cell=cell, scheme=scheme), name), Clock(1_000, 0.0)))
    assert found["valid"], found["reasons"]


def test_an_engine_whose_prompt_sees_what_comes_after_is_rejected(engine_job, monkeypatch):
    """What the package does without flash-attn, left to itself."""
    from exllamav2 import attn

    from runner.runtimes import _exllamav2engine as engine

    if attn.has_flash_attn:
        pytest.skip("hardware: needs a GPU host without flash-attn")

    def left_alone(step, tokens):
        logits = step._engine.forward(tokens[None].cpu(), step._cache, last_id_only=True)[0, -1]
        step.logits = logits[: step._engine.config.vocab_size]
        step._chosen.copy_(step.logits.argmax(dim=-1, keepdim=True))

    monkeypatch.setattr(engine.EngineStep, "_forward", left_alone)
    found = to_json(session.run(engine_job, Clock(1_000, 0.0)))
    assert not found["valid"]
    assert any(reason.startswith("gate short") for reason in found["reasons"])
