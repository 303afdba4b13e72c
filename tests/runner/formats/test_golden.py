"""Every packed format: its arithmetic against what packages packed and dequantised (tests/golden), and its bytes."""

import pytest
import torch
from safetensors import safe_open

from runner import registry
from runner.cell.scheme import Scheme
from tests.support.packed_formats import (
    CASES,
    COLUMNS,
    GOLDEN,
    NF4,
    ROWS,
    SEEN,
    golden_packed,
    golden_tensors,
    same_bits,
)


@pytest.fixture(params=CASES)
def golden(request):
    """Name, format, scheme, what the package packed, and what it made of that."""
    quant, scheme = CASES[request.param]
    seen = {name: tensor for name, tensor in golden_tensors(request.param).items() if name in SEEN}
    return registry.packed_format(quant), scheme, golden_packed(request.param), seen


def test_golden_tensors_name_the_packages_that_made_them():
    for name in CASES:
        with safe_open(GOLDEN / f"{name}.safetensors", framework="pt") as file:
            made = file.metadata()
        assert made["gpu"] == "NVIDIA H200"
        assert {"bitsandbytes", "gptqmodel", "exllamav2", "autoawq", "torch"} <= set(made)


def test_plain_arithmetic_gives_the_packages_bits(golden):
    chosen, scheme, packed, seen = golden
    own = chosen.from_stored(packed, scheme)
    ours = chosen.dequantise(own, scheme, COLUMNS, slice(0, ROWS))
    assert ours.dtype == torch.float32
    assert same_bits(ours.to(seen["dequantised"].dtype), seen["dequantised"])


def test_the_kernels_see_the_same_matrix(golden):
    """exllamav2 and Triton were asked for their matrix; bitsandbytes multiplied it with each row of the identity, and
    rounds code and scale before it multiplies them."""
    chosen, scheme, packed, seen = golden
    theirs = [tensor for name, tensor in seen.items() if name.startswith("by_")]
    assert len(theirs) == 1
    ours = chosen.dequantise(chosen.from_stored(packed, scheme), scheme, COLUMNS, slice(0, ROWS))
    if "by_kernel" in seen:
        rounding = torch.finfo(theirs[0].dtype).eps  # twice half a unit
        assert ((ours - theirs[0].float()).abs() <= 1.5 * rounding * ours.abs()).all()
    else:
        assert same_bits(ours.to(theirs[0].dtype), theirs[0])


def test_some_rows_are_rows_of_the_whole(golden):
    chosen, scheme, packed, _ = golden
    own = chosen.from_stored(packed, scheme)
    whole = chosen.dequantise(own, scheme, COLUMNS, slice(0, ROWS))
    for rows in (slice(0, 8), slice(24, 48), slice(56, 64)):
        assert same_bits(chosen.dequantise(own, scheme, COLUMNS, rows), whole[rows])


def test_the_stored_tensors_are_those_that_the_format_names(golden):
    chosen, scheme, packed, _ = golden
    dtypes = {torch.int32: "I32", torch.uint8: "U8", torch.float16: "F16", torch.float32: "F32"}
    expected = chosen.stored(ROWS, COLUMNS, scheme)
    assert {name: dtypes[tensor.dtype] for name, tensor in packed.items()} == {
        name: part.dtype for name, part in expected.items()
    }
    for name, part in expected.items():
        assert part.shape == (-1,) or part.shape == tuple(packed[name].shape)


def test_a_step_needs_exactly_the_parts(golden):
    chosen, scheme, packed, _ = golden
    own = chosen.from_stored(packed, scheme)
    parts = chosen.parts(ROWS, COLUMNS, scheme)
    assert {name: (part.shape, part.bytes) for name, part in parts.items()} == {
        name: (tuple(tensor.shape), tensor.nbytes) for name, tensor in own.items()
    }


@pytest.mark.parametrize("name", CASES)
def test_weights_of_zero_are_zero_again(name):
    quant, scheme = CASES[name]
    chosen = registry.packed_format(quant)
    weight = torch.zeros(64, 128)
    weight[0] = torch.linspace(-1, 1, 128)  # some others, so that double quantisation has something to scale by
    back = chosen.dequantise(chosen.quantise(weight, scheme), scheme, 128, slice(0, 64))
    assert back.isfinite().all()
    assert not back[1:].any()  # whatever double quantisation makes of a magnitude of 0: the code is that of 0


def test_bytes_of_a_layer_by_hand():
    # 256 × 128 weights in int4: 32768 / 2 = 16384 B of codes; one group of 128: 256 scales · 2 B = 512 B and
    # 256 zero points / 2 = 128 B
    for quant, scheme in (CASES["gptq-sym"], CASES["awq"]):
        parts = registry.packed_format(quant).parts(256, 128, scheme)
        assert sum(part.bytes for part in parts.values()) == 16384 + 512 + 128
    # nf4: the same codes; 32768 / 64 = 512 blocks with an 8-bit magnitude each, 512 / 256 = 2 of those blocks with a
    # float; the tables of 16 and 256 floats, and the offset
    parts = registry.packed_format("bnb-nf4").parts(256, 128, NF4)
    assert sum(part.bytes for part in parts.values()) == 16384 + 512 + 2 * 4 + (16 + 256 + 1) * 4
    # in the order of the activations: 128 int32 more
    ordered = registry.packed_format("gptq").parts(256, 128, Scheme(128, sym=True, desc_act=True))
    assert sum(part.bytes for part in ordered.values()) == 16384 + 512 + 128 + 128 * 4
