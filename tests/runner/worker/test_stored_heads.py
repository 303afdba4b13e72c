"""Heads, prefixes and buffers that savers leave in a folder: loaded as transformers itself loads that very folder."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from runner import registry
from runner.cell import catalogue, floors
from runner.cell.scheme import Scheme
from runner.checkpoints import checkpoint, weightfiles
from runner.errors import BadCheckpoint
from runner.worker import model, packedfolder

CPU = torch.device("cpu")
WRITTEN = Path(__file__).parents[2] / "written"
UNTIED = catalogue.models()["tiny"].shape
TIED = replace(UNTIED, tied_embedding=True)
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
TOKENS = torch.arange(40)[None]
BUFFERS = (
    "model.layers.0.self_attn.rotary_emb.inv_freq",
    "model.layers.1.self_attn.rotary_emb.cos_cached",
    "model.layers.1.self_attn.rotary_emb.sin_cached",
    "model.rotary_emb.inv_freq",
    "model.layers.0.self_attn.masked_bias",
    "model.layers.0.self_attn.bias",
    "model.layers.0.attn.masked_bias",
    "model.embeddings.position_ids",
)


def build(shape, dtype=torch.float32):
    return model.Build(shape, "bf16", None, dtype, CPU)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tied")
    model.build_synthetic(build(TIED)).save_pretrained(folder)
    return folder


@pytest.fixture
def variant(tmp_path, saved):
    """A function: the tied folder with its tensors changed by another."""

    def changed(edit, source=saved, **config):
        folder = tmp_path / "variant"
        shutil.copytree(source, folder)
        tensors = load_file(folder / "model.safetensors")
        tensors = edit(tensors) or tensors
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
        found = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**found, **config}))
        return folder

    return changed


def is_tied(loaded):
    return loaded.lm_head.weight is loaded.model.embed_tokens.weight


def check_as_transformers(folder, shape, dtype=torch.float32):
    """Ours and theirs, which must be the same model in all its parameters and logits."""
    checkpoint.local(str(folder), shape, "bf16")
    ours = model.load_checkpoint(folder, build(shape, dtype))
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    assert is_tied(ours) == is_tied(theirs)
    mine, yours = dict(ours.named_parameters()), dict(theirs.named_parameters())
    assert mine.keys() == yours.keys()
    assert all(torch.equal(mine[name], yours[name]) for name in mine)
    with torch.inference_mode():
        assert torch.equal(ours(TOKENS).logits, theirs(TOKENS).logits)
    return ours


def put(name, make):
    return lambda tensors: tensors.update({name: make(tensors)})


def without(left_out):
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if name != left_out}


def equal(tensors):
    return tensors[EMBEDDING].clone()


def other(tensors):
    return tensors[EMBEDDING].flip(0)


def nearly(tensors):
    """Equal in bfloat16, not in float32."""
    return tensors[EMBEDDING].bfloat16().float() * (1 + 2**-12)


@pytest.mark.medium
@pytest.mark.parametrize(("head", "tied"), [(equal, True), (other, False), (nearly, False)])
def test_a_stored_head_of_a_tied_model_counts_where_it_differs(variant, head, tied):
    ours = check_as_transformers(variant(put(HEAD, head)), TIED)
    shape = model.shape_of(ours, TIED)
    assert shape.tied_embedding == tied == is_tied(ours)
    # what is not streamed and what is accounted follow from the loaded model
    assert floors.embedding_bytes(shape, 4) == (0 if tied else 512 * 128 * 4)
    assert model.weight_bytes(ours) == registry.weight_bytes("bf16", None, shape, 4)


@pytest.mark.medium
def test_heads_are_compared_in_the_dtype_that_is_loaded(variant):
    def both(tensors):
        tensors[EMBEDDING] = tensors[EMBEDDING].bfloat16().float()
        tensors[HEAD] = nearly(tensors)

    folder = variant(both)
    assert not is_tied(check_as_transformers(folder, TIED))
    assert is_tied(check_as_transformers(folder, TIED, torch.bfloat16))


@pytest.mark.medium
def test_heads_of_two_stored_dtypes(variant):
    def both(tensors):
        tensors |= {EMBEDDING: tensors[EMBEDDING].bfloat16(), HEAD: tensors[EMBEDDING].bfloat16().float()}
        return tensors

    folder = variant(both)
    assert is_tied(check_as_transformers(folder, TIED))
    assert checkpoint.local(str(folder), TIED, "bf16").dtype == "mixed"


@pytest.mark.medium
def test_a_zero_with_a_sign_is_a_zero(variant):
    def signed(tensors):
        tensors[EMBEDDING][0, 0] = 0.0
        tensors[HEAD] = tensors[EMBEDDING].clone()
        tensors[HEAD][0, 0] = -0.0

    assert is_tied(check_as_transformers(variant(signed), TIED))


@pytest.mark.medium
def test_a_head_that_is_stored_alone_is_the_embedding(variant):
    def rename(tensors):
        tensors[HEAD] = tensors.pop(EMBEDDING)

    assert is_tied(check_as_transformers(variant(rename), TIED))


@pytest.mark.medium
def test_an_untied_model_with_two_equal_matrices_stays_untied(variant):
    folder = variant(put(HEAD, equal), tie_word_embeddings=False)
    assert not is_tied(check_as_transformers(folder, UNTIED))


@pytest.mark.medium
@pytest.mark.parametrize("prefix", ["", "model.model."])
def test_the_prefix_may_be_missing_or_there_twice(variant, prefix):
    def rename(tensors):
        return {name.replace("model.", prefix, 1): tensor for name, tensor in tensors.items()}

    check_as_transformers(variant(rename), TIED)


def test_one_tensor_under_two_names_is_refused(variant):
    folder = variant(put("norm.weight", lambda tensors: tensors["model.norm.weight"].clone()))
    with pytest.raises(BadCheckpoint, match=r"norm\.weight and .*norm\.weight are the same tensor"):
        checkpoint.local(str(folder), TIED, "bf16")


@pytest.mark.medium
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.int64])
def test_buffers_of_old_savers_are_read_over(variant, dtype):
    folder = variant(lambda tensors: tensors.update({name: torch.ones(3).to(dtype) for name in BUFFERS}))
    check_as_transformers(folder, TIED)


@pytest.mark.parametrize(
    "name", ["lm_head.bias", "model.layers.2.mlp.up_proj.weight", "model.layers.0.self_attn.q_norm.weight"]
)
def test_any_other_tensor_too_many_is_refused_by_name(variant, name):
    folder = variant(put(name, lambda _: torch.zeros(128)))
    with pytest.raises(BadCheckpoint, match=rf"1 tensor more than the model has \({name}\)"):
        checkpoint.local(str(folder), TIED, "bf16")


@pytest.mark.parametrize(
    ("edit", "shape", "said"),
    [
        (lambda _: None, UNTIED, r"1 tensor missing \(lm_head.weight\)"),
        (without(EMBEDDING), TIED, r"1 tensor missing \(model.embed_tokens.weight\)"),
        (
            put(HEAD, lambda tensors: tensors[EMBEDDING][:7].clone()),
            TIED,
            r"lm_head.weight is \[7, 128\], expected \[512, 128\]",
        ),
        (put(HEAD, lambda tensors: tensors[EMBEDDING].to(torch.int8)), TIED, r"lm_head.weight is I8"),
    ],
)
def test_what_transformers_would_fill_with_noise_or_refuse(variant, edit, shape, said):
    """A missing matrix it draws at random, with a warning; another shape it refuses."""
    folder = variant(edit, tie_word_embeddings=shape.tied_embedding)
    with pytest.raises(BadCheckpoint, match=said):
        checkpoint.local(str(folder), shape, "bf16")


@pytest.mark.medium
def test_shards_hold_a_head_too(variant):
    whole = variant(put(HEAD, other))
    tensors = load_file(whole / "model.safetensors")
    (whole / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {f"model-0000{part + 1}-of-00002.safetensors": names[part::2] for part in (0, 1)}
    for file, part in parts.items():
        save_file({name: tensors[name] for name in part}, whole / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, part in parts.items() for name in part}}
    (whole / "model.safetensors.index.json").write_text(json.dumps(index))
    assert not is_tied(check_as_transformers(whole, TIED))


PACKED = {"bnb-nf4": Scheme(64, double_quant=True), "gptq": Scheme(128, sym=True), "awq": Scheme(128)}


def load_packed(folder, quant, shape):
    assert checkpoint.local(str(folder), shape, quant).scheme == PACKED[quant]
    return model.load_checkpoint(folder, model.Build(shape, quant, PACKED[quant], torch.float16, CPU))


@pytest.mark.medium
@pytest.mark.parametrize("quant", PACKED)
@pytest.mark.parametrize(("head", "tied"), [(equal, True), (other, False)])
def test_packed_folders_store_heads_too(variant, quant, head, tied):
    """The quantising packages write one even for a tied model."""
    folder = variant(put(HEAD, head), WRITTEN / quant, tie_word_embeddings=True)
    loaded = load_packed(folder, quant, TIED)
    shape = model.shape_of(loaded, TIED)
    assert (is_tied(loaded), shape.tied_embedding) == (tied, tied)
    assert model.weight_bytes(loaded) == registry.weight_bytes(quant, PACKED[quant], shape, 2)
    saved = load_file(folder / "model.safetensors")
    assert torch.equal(loaded.lm_head.weight, saved[HEAD].half())


@pytest.mark.medium
@pytest.mark.parametrize(("head", "tied"), [(equal, True), (other, False)])
def test_a_packed_folder_is_tied_where_transformers_ties_it(variant, head, tied):
    folder = variant(put(HEAD, head), WRITTEN / "bnb-nf4", tie_word_embeddings=True)
    theirs = AutoModelForCausalLM.from_pretrained(folder, device_map="cpu", dtype=torch.float16)
    assert is_tied(theirs) == tied == is_tied(load_packed(folder, "bnb-nf4", TIED))


@pytest.mark.medium
@pytest.mark.parametrize("quant", PACKED)
def test_packed_folders_have_buffers_too(variant, quant):
    folder = variant(lambda tensors: tensors.update({name: torch.ones(3) for name in BUFFERS}), WRITTEN / quant)
    ours, right = load_packed(folder, quant, UNTIED), load_packed(WRITTEN / quant, quant, UNTIED)
    with torch.inference_mode():
        assert torch.equal(ours(TOKENS).logits, right(TOKENS).logits)


def drop_embedding(tensors):
    tensors[HEAD] = tensors.pop(EMBEDDING)


def drop_prefix(tensors):
    tensors[HEAD] = equal(tensors)
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items()}


@pytest.mark.medium
@pytest.mark.parametrize("edit", [put(HEAD, equal), put(HEAD, other), drop_embedding, drop_prefix])
def test_an_engine_gets_a_folder_of_the_loaded_model(variant, tmp_path, edit):
    """Its config says what was loaded, and every tensor is there under the name that the engine looks for."""
    folder = variant(edit, WRITTEN / "gptq", tie_word_embeddings=True)
    loaded = load_packed(folder, "gptq", TIED)
    shape = model.shape_of(loaded, TIED)
    (tmp_path / "linked").mkdir()
    packedfolder.link(loaded, shape, folder, tmp_path / "linked")
    assert json.loads((tmp_path / "linked" / "config.json").read_text())["tie_word_embeddings"] == is_tied(loaded)
    names = weightfiles.tensors([tmp_path / "linked" / "model.safetensors"]).keys()
    assert names >= weightfiles.expected(shape, "gptq", PACKED["gptq"]).keys()
    again = load_packed(tmp_path / "linked", "gptq", shape)
    with torch.inference_mode():
        assert torch.equal(again(TOKENS).logits, loaded(TOKENS).logits)
