"""Packed weights go through model, kernel, reference and gate, for real where a CPU has the kernel."""

import pytest
import torch

from runner import registry
from runner.cell import floors
from runner.cell.protocol import NAMED
from runner.record import bounds
from runner.runtimes.eager import EagerStep
from runner.worker import caches, gate, model, plainlinear, reference, tokens
from tests.support.gate_errors import checked
from tests.support.packed_models import CPU, SCHEMES, TINY, build
from tests.support.packed_mutants import WRONG_GROUP, changes, kernel_in, stale_buffers

pytestmark = pytest.mark.usefixtures("inference")
CTX = 64


def expectation_of(built, drawn):
    return gate.expect(built, TINY, drawn, CTX, NAMED["paper"])


def step_of(built, drawn):
    return EagerStep(built, caches.make("static", built, floors.kv_alloc_tokens(CTX, 5, 30)), drawn)


@pytest.fixture(scope="module")
def prepared():
    with torch.inference_mode():
        built = model.build_synthetic(build("bnb-nf4", torch.bfloat16))
        drawn = tokens.draw(TINY.vocab, floors.sequence_tokens(CTX, 5, 30), 0, CPU)
        expectation = expectation_of(built, drawn)
    return built, drawn, expectation, held_to("bf16", "bnb-nf4", "bitsandbytes")


def held_to(dtype, quant, kernel):
    return bounds.cell_bounds(dtype, "eager", quant, kernel, TINY.hidden)


def worst(found):
    return max(found["short"], found["ctx_error"])


@pytest.mark.medium
@pytest.mark.parametrize("quant", SCHEMES)
def test_bytes_on_the_device_are_those_accounted(quant):
    built = model.build_synthetic(build(quant, torch.bfloat16))
    assert model.weight_bytes(built) == registry.weight_bytes(quant, SCHEMES[quant], TINY, 2)


@pytest.mark.medium
@pytest.mark.parametrize("quant", SCHEMES)
def test_the_reference_reads_packed_weights_row_by_row(quant):
    built = model.build_synthetic(build(quant))
    drawn = tokens.draw(TINY.vocab, 40, 0, CPU)
    positions = torch.tensor([5, 20, 39])
    ours = reference.for_model(built, TINY, torch.float64).logits(drawn.sequence, positions)
    theirs = built(input_ids=drawn.sequence[None], use_cache=False, logits_to_keep=positions).logits[0]
    torch.testing.assert_close(ours.float(), theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_right_kernel_passes(prepared):
    built, drawn, expectation, held = prepared
    with kernel_in(built, "bitsandbytes") as path:
        found = checked(step_of(path, drawn), CTX, expectation, held)
    assert not found["rejected"], found


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_the_right_kernel_passes_in_every_dtype(dtype):
    built = model.build_synthetic(build("bnb-nf4", model.DTYPES[dtype]))
    drawn = tokens.draw(TINY.vocab, floors.sequence_tokens(CTX, 5, 30), 0, CPU)
    expectation, held = expectation_of(built, drawn), held_to(dtype, "bnb-nf4", "bitsandbytes")
    with kernel_in(built, "bitsandbytes") as path:
        found = checked(step_of(path, drawn), CTX, expectation, held)
    assert not found["rejected"], found


@pytest.mark.medium
def test_a_layer_that_the_kernel_has_taken_over_holds_nothing():
    """A kernel that repacks would otherwise leave the device both forms."""
    built = model.build_synthetic(build("bnb-nf4", torch.bfloat16))
    plains = plainlinear.plain_linears(built)
    model.use_kernel(built, "bitsandbytes")
    assert len(plains) == 7 * TINY.layers
    assert all(not plain.tensors for plain in plains.values())
    assert plainlinear.plain_linears(built) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG_GROUP)
def test_a_kernel_that_reads_the_format_wrongly_is_rejected(prepared, name):
    built, drawn, expectation, held = prepared
    with kernel_in(built, "bitsandbytes", WRONG_GROUP[name]) as path:
        found = checked(step_of(path, drawn), CTX, expectation, held)
    assert found["rejected"]
    assert worst(found) >= 2 * held["cap"]


@pytest.mark.slow
def test_stale_buffers_are_rejected(prepared):
    built, drawn, expectation, held = prepared
    with kernel_in(built, "bitsandbytes") as path:
        step = step_of(path, drawn)
        assert not checked(step, CTX, expectation, held)["rejected"]
        with stale_buffers(path):
            found = checked(step, CTX, expectation, held)
    assert found["rejected"]
    assert worst(found) >= 2 * held["cap"]


@pytest.mark.slow
@pytest.mark.parametrize("quant", ["gptq", "awq"])
def test_wrong_integers_are_seen_by_plain_arithmetic_too(quant):
    """These kernels need a GPU; that the gate's bounds see such mistakes holds for any arithmetic."""
    built = model.build_synthetic(build(quant, torch.float16))
    drawn = tokens.draw(TINY.vocab, floors.sequence_tokens(CTX, 5, 30), 0, CPU)
    expectation, held = expectation_of(built, drawn), held_to("fp16", quant, "")
    assert not checked(step_of(built, drawn), CTX, expectation, held)["rejected"]
    for change in changes(quant, sym=False).values():
        kept = {plain: plain.tensors for plain in plainlinear.plain_linears(built).values()}
        for plain in kept:
            plain.tensors = change(plain)
        assert worst(checked(step_of(built, drawn), CTX, expectation, held)) >= 2 * held["cap"]
        for plain, tensors in kept.items():
            plain.tensors = tensors
