"""Packing and arithmetic of the formats, against what the packages themselves packed and dequantised (tests/golden)."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from runner import registry
from runner.cell.scheme import Scheme
from runner.errors import BadCheckpoint
from runner.formats import _int4, awq, bnb_nf4, gptq

GOLDEN = Path(__file__).parents[2] / "golden"
ROWS, COLUMNS = 64, 384
NF4, NF4_SINGLE = Scheme(64, double_quant=True), Scheme(64)
CASES = {
    "bnb-nf4-bf16": ("bnb-nf4", NF4),
    "bnb-nf4-fp16": ("bnb-nf4", NF4),
    "bnb-nf4-single": ("bnb-nf4", NF4_SINGLE),
    "gptq-sym": ("gptq", Scheme(128, sym=True)),
    "gptq-asym": ("gptq", Scheme(128)),
    "gptq-desc-act": ("gptq", Scheme(128, sym=True, desc_act=True)),
    "awq": ("awq", Scheme(128)),
}
GPTQ: dict[str, object] = {"bits": 4, "group_size": 128}
NF4_CONFIG: dict[str, object] = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
SEEN = ("original", "dequantised", "by_kernel", "by_exllamav2", "by_triton")


@pytest.fixture(params=CASES)
def golden(request):
    """Name, format, scheme, what the package packed, and what it made of that."""
    quant, scheme = CASES[request.param]
    tensors = load_file(GOLDEN / f"{request.param}.safetensors")
    packed = {name: tensor for name, tensor in tensors.items() if name not in SEEN}
    seen = {name: tensor for name, tensor in tensors.items() if name in SEEN}
    return registry.packed_format(quant), scheme, packed, seen


def same_bits(ours, theirs):
    return ours.dtype == theirs.dtype and torch.equal(ours, theirs)


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


@pytest.mark.parametrize("name", ["bnb-nf4-bf16", "bnb-nf4-fp16", "bnb-nf4-single"])
def test_nf4_is_packed_as_bitsandbytes_packs_it(name):
    tensors = load_file(GOLDEN / f"{name}.safetensors")
    scheme = CASES[name][1]
    theirs = bnb_nf4.from_stored({key: value for key, value in tensors.items() if key not in SEEN}, scheme)
    ours = bnb_nf4.quantise(tensors["original"], scheme)
    assert ours.keys() == theirs.keys()
    for key in ours:
        if key in ("weight.nested_offset", "weight.nested_absmax"):  # a mean over another order of sums
            torch.testing.assert_close(ours[key], theirs[key], rtol=1e-6, atol=0)
        else:
            assert same_bits(ours[key], theirs[key]), key


def test_codes_survive_packing_in_both_orders():
    codes = torch.randint(16, (24, 64), generator=torch.Generator().manual_seed(1), dtype=torch.int32)
    for order in (_int4.IN_ORDER, awq.ORDER):
        words = _int4.pack(codes, order)
        assert words.shape == (24, 8)
        assert same_bits(_int4.unpack(words, order), codes)


def test_a_word_by_hand():
    # codes 0 … 7 of a word: GPTQ keeps them in order, nibble i holds code i: 0x76543210;
    # AWQ's nibbles hold codes 0, 2, 4, 6, 1, 3, 5, 7: 0x75316420
    codes = torch.arange(8, dtype=torch.int32)[None]
    assert _int4.pack(codes).item() == 0x76543210
    assert _int4.pack(codes, awq.ORDER).item() == 0x75316420


def test_gptq_stores_zero_points_less_one():
    packed = gptq.quantise(torch.randn(8, 128), Scheme(128, sym=True))
    assert packed["qzeros"].item() == 0x77777777  # eight zero points of 8


@pytest.mark.parametrize("name", ["gptq-sym", "gptq-asym", "awq"])
def test_rounding_to_nearest_errs_by_half_a_step_at_most(name):
    quant, scheme = CASES[name]
    chosen = registry.packed_format(quant)
    original = load_file(GOLDEN / f"{name}.safetensors")["original"].float()
    packed = chosen.quantise(original, scheme)
    back = chosen.dequantise(packed, scheme, COLUMNS, slice(0, ROWS))
    steps = packed["scales"].float().repeat_interleave(128, dim=0).T
    inside = (back - original).abs() / steps
    # a scale is rounded to 11 bits, by up to 2⁻¹¹ of itself, and there are up to 8 steps from the zero point:
    # 0.5 + 8 / 2048 = 0.504; a symmetric scheme's largest magnitude lies at 7.5 steps and is cut to 7
    assert inside.max() <= 0.504


def test_an_order_that_the_config_does_not_tell_of_is_refused():
    tensors = load_file(GOLDEN / "gptq-desc-act.safetensors")
    packed = {name: tensors[name] for name in ("qweight", "qzeros", "scales", "g_idx")}
    with pytest.raises(BadCheckpoint, match="g_idx is not the natural order, though desc_act is false"):
        gptq.from_stored(packed, Scheme(128, sym=True))


def test_a_zero_point_of_zero_cannot_be_stored_less_one():
    tensors = load_file(GOLDEN / "gptq-asym.safetensors")
    packed = {name: tensors[name].clone() for name in ("qweight", "qzeros", "scales", "g_idx")}
    packed["qzeros"][0, 0] |= 15
    with pytest.raises(BadCheckpoint, match="a zero point of 0 is stored as 15"):
        gptq.from_stored(packed, Scheme(128))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("bnb-nf4-bf16", {"blocksize": 128}, "its blocksize is 128, expected 64"),
        ("bnb-nf4-single", {"quant_type": "fp4"}, "its quant_type is fp4, expected nf4"),
        ("bnb-nf4-fp16", {"nested_blocksize": 128}, "its nested_blocksize is 128, expected 256"),
    ],
)
def test_an_nf4_tensor_that_says_another_layout_is_refused(name, change, said):
    tensors = load_file(GOLDEN / f"{name}.safetensors")
    packed = {key: value for key, value in tensors.items() if key not in SEEN}
    state = json.loads(bytes(packed[bnb_nf4.STATE].tolist())) | change
    packed[bnb_nf4.STATE] = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)
    with pytest.raises(BadCheckpoint, match=said):
        bnb_nf4.from_stored(packed, CASES[name][1])


@pytest.mark.parametrize(
    ("quant", "config", "said"),
    [
        ("gptq", {"bits": 8, "group_size": 128}, "its weights have 8 bits, only 4 are supported"),
        ("gptq", {"bits": "4", "group_size": 128}, "its bits are '4', not a number: only 4 are supported"),
        ("awq", {"group_size": 128}, "its bits are None, not a number"),
        ("gptq", {"bits": 4, "group_size": -1}, "its group_size is -1"),
        ("gptq", {"bits": 4, "group_size": 128, "checkpoint_format": "gptq_v2"}, "its checkpoint_format is gptq_v2"),
        ("gptq", {**GPTQ, "format": "gptq_v2"}, "its format is gptq_v2, only gptq is supported"),
        (
            "gptq",
            {**GPTQ, "checkpoint_format": "gptq", "format": "marlin"},
            "its format is marlin, only gptq is supported",
        ),
        ("gptq", {**GPTQ, "is_marlin_format": True}, "its is_marlin_format is true"),
        ("gptq", {**GPTQ, "sym": "false"}, "its sym is 'false', neither true nor false"),
        ("gptq", {**GPTQ, "desc_act": 0}, "its desc_act is 0, neither true nor false"),
        ("awq", {**GPTQ, "zero_point": "true"}, "its zero_point is 'true', neither true nor false"),
        ("bnb-nf4", {**NF4_CONFIG, "bnb_4bit_use_double_quant": 0}, "its bnb_4bit_use_double_quant is 0, neither"),
        ("bnb-nf4", {**NF4_CONFIG, "load_in_4bit": "yes"}, "its load_in_4bit is 'yes', neither true nor false"),
        ("gptq", {**GPTQ, "lm_head": True}, "its lm_head is true: a quantised head is not supported"),
        ("awq", {"bits": 4, "group_size": 128, "version": "gemv"}, "its AWQ version is gemv, only gemm is supported"),
        (
            "awq",
            {**GPTQ, "version": "gemm", "backend": "llm-awq"},
            "its AWQ version is llm-awq, only gemm is supported",
        ),
        ("awq", {"bits": 4, "group_size": 128, "zero_point": False}, "its zero_point is false"),
        ("bnb-nf4", {**NF4_CONFIG, "bnb_4bit_quant_storage": "bfloat16"}, "its bnb_4bit_quant_storage is bfloat16"),
        ("bnb-nf4", {"load_in_8bit": True}, "it holds bitsandbytes int8, only nf4 is supported"),
        ("bnb-nf4", {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, "it holds bitsandbytes fp4"),
    ],
)
def test_a_layout_that_is_not_read_is_refused(quant, config, said):
    with pytest.raises(BadCheckpoint, match=said):
        registry.packed_format(quant).read_config(config)


@pytest.mark.parametrize(
    ("quant", "config", "said"),
    [
        (
            "bnb-nf4",
            {**NF4_CONFIG, "llm_int8_skip_modules": ["lm_head", "model.layers.0.mlp", "model.layers.3"]},
            "its llm_int8_skip_modules leave model.layers.0.mlp, model.layers.3 in 16 bits",
        ),
        ("bnb-nf4", {**NF4_CONFIG, "llm_int8_skip_modules": ["o_proj"]}, "leave o_proj in 16 bits"),
        ("awq", {**GPTQ, "modules_to_not_convert": ["self_attn"]}, "its modules_to_not_convert leave self_attn in 16"),
        ("gptq", {**GPTQ, "modules_to_not_convert": ["layers.1.mlp.up_proj"]}, "leave layers.1.mlp.up_proj in 16 bits"),
        (
            "gptq",
            {**GPTQ, "modules_in_block_to_quantize": [["self_attn.q_proj", "self_attn.k_proj"], ["mlp.up_proj"]]},
            "its modules_in_block_to_quantize leave self_attn.v_proj, self_attn.o_proj, mlp.gate_proj, … in 16 bits",
        ),
        ("gptq", {**GPTQ, "dynamic": {"-:lm_head": {}}}, "its quantization_config is dynamic"),
    ],
)
def test_layers_that_were_left_unquantised_are_refused_by_name(quant, config, said):
    with pytest.raises(BadCheckpoint) as caught:
        registry.packed_format(quant).read_config(config)
    assert said in str(caught.value)
    assert str(caught.value).endswith(": layers of different kinds are not supported")


@pytest.mark.parametrize("names", [None, [], ["lm_head"], ["embed_tokens", "visual", "mlp.gate", "model.norm"]])
def test_what_is_never_packed_or_not_in_the_model_may_be_left_out(names):
    assert awq.read_config({**GPTQ, "modules_to_not_convert": names}) == Scheme(128)
    assert bnb_nf4.read_config({**NF4_CONFIG, "llm_int8_skip_modules": names}) == NF4_SINGLE
    every = [["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], ["self_attn.o_proj"]]
    every += [["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]]
    gptq.read_config({**GPTQ, "modules_to_not_convert": names, "modules_in_block_to_quantize": every})


@pytest.mark.parametrize("names", ["lm_head", {"lm_head": True}, [1]])
def test_a_list_of_modules_that_is_none_is_refused(names):
    with pytest.raises(BadCheckpoint, match="its modules_to_not_convert is not a list of names"):
        awq.read_config({**GPTQ, "modules_to_not_convert": names})


def test_what_a_config_says_is_kept():
    found = gptq.read_config({"bits": 4, "group_size": 64, "sym": False, "desc_act": True})
    assert found == Scheme(64, sym=False, desc_act=True)
    assert gptq.read_config(gptq.config_of(found)) == found
    assert gptq.read_config({**GPTQ, "checkpoint_format": None, "is_marlin_format": False}) == Scheme(128, sym=True)
    assert bnb_nf4.read_config({**NF4_CONFIG, "bnb_4bit_use_double_quant": True}) == NF4
    assert bnb_nf4.read_config(NF4_CONFIG) == NF4_SINGLE
    for version in ("gemm", "GEMM"):  # AutoAWQ writes the one and is asked for the other
        assert awq.read_config({**GPTQ, "zero_point": True, "version": version}) == Scheme(128)


@pytest.mark.parametrize("fields", [{"format": "gptq"}, {"checkpoint_format": "gptq", "format": "gptq"}, {}])
def test_gptq_is_known_under_each_name_of_its_form_and_symmetric_where_it_does_not_say(fields):
    assert gptq.read_config({**GPTQ, **fields}) == Scheme(128, sym=True, desc_act=False)


def test_zero_points_that_a_symmetric_config_denies_are_refused():
    """A kernel that takes sym at its word multiplies by 8, one that reads them by what is stored."""
    tensors = load_file(GOLDEN / "gptq-sym.safetensors")
    packed = {name: tensors[name].clone() for name in ("qweight", "qzeros", "scales", "g_idx")}
    packed["qzeros"][-1, -1] += 1  # the lowest nibble: 7, a zero point of 8, becomes 8, one of 9
    with pytest.raises(BadCheckpoint, match=r"sym is true but zero points are not 8.*set sym to false"):
        gptq.from_stored(packed, Scheme(128, sym=True))
    gptq.from_stored(packed, Scheme(128))


def test_a_gptq_layer_goes_to_its_folder_and_back():
    scheme = Scheme(128, sym=True)
    packed = gptq.quantise(torch.randn(16, 256), scheme)
    stored = gptq.to_stored(packed, scheme, 256)
    assert stored["g_idx"].tolist() == [0] * 128 + [1] * 128
    back = gptq.from_stored(stored, scheme)
    assert back.keys() == packed.keys()
    assert all(same_bits(back[name], packed[name]) for name in packed)


@pytest.mark.parametrize("quant", ["gptq", "awq"])
@pytest.mark.parametrize("sign", [1, -1])
def test_weights_of_one_sign_are_rounded_over_a_range_that_holds_zero(quant, sign):
    """From 10 to 11: a step is 11 / 15 for AWQ; GPTQ cannot store a zero point of 0, and cuts one step off the end."""
    chosen, scheme = registry.packed_format(quant), Scheme(128)
    weight = sign * torch.linspace(10, 11, 8 * 128).view(8, 128)
    packed = chosen.quantise(weight, scheme)
    zeros = _int4.unpack(packed["qzeros"], awq.ORDER if quant == "awq" else _int4.IN_ORDER)
    zeros += gptq.STORED_LESS if quant == "gptq" else 0
    least = gptq.STORED_LESS if quant == "gptq" else 0
    assert set(zeros.flatten().tolist()) == {least if sign > 0 else 15}
    steps = packed["scales"].float().T
    torch.testing.assert_close(steps, weight.abs().amax(dim=1, keepdim=True) / 15, rtol=1e-3, atol=0)
    back = chosen.dequantise(packed, scheme, 128, slice(0, 8))
    cut = least if sign > 0 else 0
    assert float(((back - weight).abs() / steps).max()) <= 0.51 + cut


@pytest.mark.parametrize("name", CASES)
def test_weights_of_zero_are_zero_again(name):
    quant, scheme = CASES[name]
    chosen = registry.packed_format(quant)
    weight = torch.zeros(64, 128)
    weight[0] = torch.linspace(-1, 1, 128)  # some others, so that double quantisation has something to scale by
    back = chosen.dequantise(chosen.quantise(weight, scheme), scheme, 128, slice(0, 64))
    assert back.isfinite().all()
    assert not back[1:].any()  # whatever double quantisation makes of a magnitude of 0: the code is that of 0


@pytest.mark.parametrize(("scheme", "zero"), [(Scheme(128, sym=True), 8), (Scheme(128), 1)])
def test_a_group_of_zeros_has_a_scale_all_the_same_and_codes_in_range(scheme, zero):
    codes, scales, zeros = _int4.quantise(torch.zeros(8, 128), scheme, zeros_from=1)
    assert set(codes.flatten().tolist()) == set(zeros.flatten().tolist()) == {zero}
    assert float(scales.min()) > 0


@pytest.mark.parametrize(("rows", "blocks"), [(128, 256), (136, 272), (256, 512)])
def test_nested_blocks_are_as_many_as_the_magnitudes_fill(rows, blocks):
    """128 · 128 weights have 256 magnitudes, which fill one nested block; 272 take a second, and so do 512."""
    packed = bnb_nf4.quantise(torch.randn(rows, 128), NF4)
    parts = bnb_nf4.parts(rows, 128, NF4)
    assert len(packed["weight.absmax"]) == blocks
    nested = 1 if blocks == 256 else 2
    assert (len(packed["weight.nested_absmax"]), parts["weight.nested_absmax"].shape) == (nested, (nested,))


def test_groups_are_of_at_least_a_word():
    assert gptq.read_config({"bits": 4, "group_size": 8}).group_size == 8
    with pytest.raises(BadCheckpoint, match="its group_size is 7, only groups of 8 or more"):
        gptq.read_config({"bits": 4, "group_size": 7})


def test_bytes_of_a_layer_by_hand():
    # 256 × 128 weights in int4: 32768 / 2 = 16384 B of codes; one group of 128: 256 scales · 2 B = 512 B and
    # 256 zero points / 2 = 128 B
    for quant in ("gptq", "awq"):
        parts = registry.packed_format(quant).parts(256, 128, SCHEMES[quant])
        assert sum(part.bytes for part in parts.values()) == 16384 + 512 + 128
    # nf4: the same codes; 32768 / 64 = 512 blocks with an 8-bit magnitude each, 512 / 256 = 2 of those blocks with a
    # float; the tables of 16 and 256 floats, and the offset
    parts = registry.packed_format("bnb-nf4").parts(256, 128, SCHEMES["bnb-nf4"])
    assert sum(part.bytes for part in parts.values()) == 16384 + 512 + 2 * 4 + (16 + 256 + 1) * 4
    # in the order of the activations: 128 int32 more
    ordered = registry.packed_format("gptq").parts(256, 128, Scheme(128, sym=True, desc_act=True))
    assert sum(part.bytes for part in ordered.values()) == 16384 + 512 + 128 + 128 * 4
