"""Quantised weights in the model, for real where a CPU has the kernel: built, loaded, multiplied, and seen through."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from runner import registry
from runner.cell import catalogue, floors
from runner.cell.protocol import NAMED
from runner.cell.scheme import Scheme
from runner.errors import DiskFull
from runner.record import bounds
from runner.runtimes.eager import EagerStep
from runner.worker import caches, gate, model, packedfolder, plainlinear, reference, tokens
from tests.support.gate_errors import checked
from tests.support.packed_mutants import WRONG_GROUP, changes, kernel_in, stale_buffers

CTX = 64
CPU = torch.device("cpu")
TINY = catalogue.models()["tiny"].shape
SCHEMES = {
    "bnb-nf4": Scheme(64, double_quant=True),
    "gptq": Scheme(128, sym=True),
    "awq": Scheme(128),
}


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


def build(quant, dtype=torch.float32):
    return model.Build(TINY, quant, SCHEMES[quant], dtype, CPU)


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
    return bounds.of(dtype, "eager", quant, kernel, TINY.hidden)


def worst(found):
    return max(found["short"], found["ctx_error"])


@pytest.mark.parametrize("quant", SCHEMES)
def test_the_packed_model_is_the_plain_one_rounded(quant):
    packed = model.build_synthetic(build(quant))
    whole = model.build_synthetic(model.Build(TINY, "bf16", None, torch.float32, CPU))
    plains = plainlinear.plain_linears(packed)
    assert len(plains) == 7 * TINY.layers
    for name, plain in plains.items():
        original = whole.get_submodule(name).weight
        error = (plain.matrix(torch.float32) - original).norm() / original.norm()
        assert 0.02 < error < 0.15, name  # four bits: some 10 % of a normal weight's spread
    others = dict(packed.named_parameters())
    for name, parameter in whole.named_parameters():
        if name.removesuffix(".weight") not in plains:
            assert torch.equal(others[name], parameter), name


@pytest.mark.parametrize("quant", SCHEMES)
def test_bytes_on_the_device_are_those_accounted(quant):
    built = model.build_synthetic(build(quant, torch.bfloat16))
    assert model.weight_bytes(built) == registry.weight_bytes(quant, SCHEMES[quant], TINY, 2)


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


@pytest.mark.parametrize("quant", SCHEMES)
def test_the_reference_reads_packed_weights_row_by_row(quant):
    built = model.build_synthetic(build(quant))
    drawn = tokens.draw(TINY.vocab, 40, 0, CPU)
    positions = torch.tensor([5, 20, 39])
    ours = reference.for_model(built, TINY, torch.float64).logits(drawn.sequence, positions)
    theirs = built(input_ids=drawn.sequence[None], use_cache=False, logits_to_keep=positions).logits[0]
    torch.testing.assert_close(ours.float(), theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("quant", SCHEMES)
def test_unpacked_layers_say_the_same_and_are_packed_again_afterwards(quant, monkeypatch):
    built = model.build_synthetic(build(quant))
    tokens_in = tokens.draw(TINY.vocab, 9, 0, CPU).sequence[None]
    packed = built(input_ids=tokens_in, use_cache=False).logits
    with plainlinear.unpacked(built), monkeypatch.context() as patched:
        patched.setattr(plainlinear.PlainLinear, "matrix", None)  # nothing is dequantised meanwhile
        assert torch.equal(built(input_ids=tokens_in, use_cache=False).logits, packed)
    assert all(plain._cached_matrix is None for plain in plainlinear.plain_linears(built).values())


def test_a_slice_over_blocks_is_whole(monkeypatch):
    blocks = 128 * 28  # of 24 rows, for words have eight
    monkeypatch.setattr(plainlinear, "BLOCK_ELEMENTS", blocks)
    linear = torch.nn.Linear(128, 256, bias=False)
    plain = plainlinear.quantised(linear, "gptq", SCHEMES["gptq"])
    monkeypatch.undo()
    whole = plain.matrix(torch.float32)
    monkeypatch.setattr(plainlinear, "BLOCK_ELEMENTS", blocks)
    assert torch.equal(plain[8:248], whole[8:248])
    assert torch.equal(plain.matrix(torch.float32), whole)


def test_the_right_kernel_passes(prepared):
    built, drawn, expectation, held = prepared
    with kernel_in(built, "bitsandbytes") as path:
        found = checked(step_of(path, drawn), CTX, expectation, held)
    assert not found["rejected"], found


@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_the_right_kernel_passes_in_every_dtype(dtype):
    built = model.build_synthetic(build("bnb-nf4", model.DTYPES[dtype]))
    drawn = tokens.draw(TINY.vocab, floors.sequence_tokens(CTX, 5, 30), 0, CPU)
    expectation, held = expectation_of(built, drawn), held_to(dtype, "bnb-nf4", "bitsandbytes")
    with kernel_in(built, "bitsandbytes") as path:
        found = checked(step_of(path, drawn), CTX, expectation, held)
    assert not found["rejected"], found


def test_a_layer_that_the_kernel_has_taken_over_holds_nothing():
    """A kernel that repacks would otherwise leave the device both forms."""
    built = model.build_synthetic(build("bnb-nf4", torch.bfloat16))
    plains = plainlinear.plain_linears(built)
    model.use_kernel(built, "bitsandbytes")
    assert len(plains) == 7 * TINY.layers
    assert all(not plain.tensors for plain in plains.values())
    assert plainlinear.plain_linears(built) == {}


@pytest.mark.parametrize("double", [True, False])
def test_bitsandbytes_multiplies_the_stored_form(double, monkeypatch):
    """Where a CPU has AVX512-BF16 the package repacks a layer at its first forward, unless it is told not to."""
    import bitsandbytes

    monkeypatch.setattr(bitsandbytes.nn.modules, "has_avx512bf16", lambda: True)
    linear = torch.nn.Linear(128, 256, bias=False, dtype=torch.bfloat16)
    plain = plainlinear.quantised(linear, "bnb-nf4", Scheme(64, double_quant=double))
    stored = {name: tensor.clone() for name, tensor in plain.tensors.items()}
    (made,) = registry.packed_kernel("bitsandbytes").linears([plain])
    assert (made.in_features, made.out_features) == (128, 256)
    made.eval()(torch.randn(1, 1, 128, dtype=torch.bfloat16))
    state = made.weight.quant_state
    held = {"weight": made.weight.data, "weight.absmax": state.absmax, "weight.quant_map": state.code}
    if double:
        held |= {"weight.nested_absmax": state.state2.absmax, "weight.nested_quant_map": state.state2.code}
        held["weight.nested_offset"] = state.offset
    assert held.keys() == stored.keys()
    for name, tensor in stored.items():
        assert held[name].dtype == tensor.dtype, name
        assert torch.equal(held[name], tensor), name


@pytest.mark.parametrize("name", WRONG_GROUP)
def test_a_kernel_that_reads_the_format_wrongly_is_rejected(prepared, name):
    built, drawn, expectation, held = prepared
    with kernel_in(built, "bitsandbytes", WRONG_GROUP[name]) as path:
        found = checked(step_of(path, drawn), CTX, expectation, held)
    assert found["rejected"]
    assert worst(found) >= 2 * held["cap"]


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


def test_a_written_folder_loads_again(tmp_path: Path):
    built = model.build_synthetic(build("gptq", torch.float16))
    packedfolder.write(built, TINY, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["quantization_config"]["quant_method"] == "gptq"
    assert config["rope_theta"] == TINY.rope_theta
    loaded = model.load_checkpoint(tmp_path, build("gptq", torch.float16))
    sequence = tokens.draw(TINY.vocab, 20, 0, CPU).sequence[None]
    assert torch.equal(loaded(input_ids=sequence).logits, built(input_ids=sequence).logits)


@pytest.mark.parametrize("known_before", [True, False])
def test_a_disk_without_room_for_the_folder_is_one_line(tmp_path: Path, monkeypatch, known_before):
    """The second: a quota, or somebody else who fills the disk meanwhile; the words are safetensors' own."""
    built = model.build_synthetic(build("gptq", torch.float16))
    if known_before:
        # its embedding and head alone have 2 · 512 · 128 elements of 2 bytes: 262 144
        usage = shutil.disk_usage(tmp_path)._replace(free=2 * 512 * 128 * 2)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    def fill(*_):
        assert not known_before
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(packedfolder, "save_file", fill)
    with pytest.raises(DiskFull, match=r"the weights, 0\.\d\d GB, .* set TMPDIR to a folder on another"):
        packedfolder.write(built, TINY, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_linked_checkpoint_has_a_config_that_older_readers_know(tmp_path: Path):
    written = Path(__file__).parents[2] / "written" / "gptq"
    assert "rope_theta" not in json.loads((written / "config.json").read_text())
    loaded = model.load_checkpoint(written, build("gptq", torch.float16))
    packedfolder.link(loaded, TINY, written, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["rope_theta"], config["quantization_config"]["sym"]) == (TINY.rope_theta, True)
    again = model.load_checkpoint(tmp_path, build("gptq", torch.float16))
    sequence = tokens.draw(TINY.vocab, 20, 0, CPU).sequence[None]
    assert torch.equal(again(input_ids=sequence).logits, loaded(input_ids=sequence).logits)


def linked(folder: Path, tmp_path: Path) -> list[bool]:
    """Which of the files of weights in a folder made of a checkpoint's are links to it."""
    packedfolder.link(model.load_checkpoint(folder, build("gptq", torch.float16)), TINY, folder, tmp_path)
    return [file.is_symlink() for file in sorted(tmp_path.glob("*.safetensors"))]


@pytest.fixture
def gptq_copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(Path(__file__).parents[2] / "written" / "gptq", tmp_path / "copy"))


def test_a_checkpoint_with_more_than_the_model_needs_is_linked_all_the_same(gptq_copy: Path, tmp_path: Path):
    tensors = load_file(gptq_copy / "model.safetensors")
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(16)
    save_file(tensors, gptq_copy / "model.safetensors", {"format": "pt"})
    (tmp_path / "linked").mkdir()
    assert linked(gptq_copy, tmp_path / "linked") == [True]


def test_a_checkpoint_with_other_names_is_written_anew(gptq_copy: Path, tmp_path: Path):
    """transformers finds a model's tensors without their first word, too; the engine does not."""
    tensors = load_file(gptq_copy / "model.safetensors")
    renamed = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    save_file(renamed, gptq_copy / "model.safetensors", {"format": "pt"})
    (tmp_path / "linked").mkdir()
    assert linked(gptq_copy, tmp_path / "linked") == [False]


def test_a_file_system_that_does_not_tell_its_size_is_written_to(tmp_path: Path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(total=0, free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    packedfolder.write(model.build_synthetic(build("gptq", torch.float16)), TINY, tmp_path)
    assert (tmp_path / packedfolder.FILE).stat().st_size > 100_000


def test_a_released_model_holds_nothing():
    built = model.build_synthetic(build("gptq", torch.float16))
    packedfolder.release(built)
    assert model.weight_bytes(built) == sum(p.nbytes for p in built.parameters() if p.device.type == "meta")
    assert all(parameter.device.type == "meta" for parameter in built.parameters())
    assert all(not plain.tensors for plain in plainlinear.plain_linears(built).values())
