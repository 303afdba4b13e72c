"""Folders in forms that transformers takes: what we load is what it loads from that very folder, bit by bit; and a
field that makes it compute something else is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from runner.cell import catalogue
from runner.cell.scheme import Scheme
from runner.checkpoints import checkpoint, modelconfig
from runner.errors import BadCheckpoint
from runner.worker import model

CPU = torch.device("cpu")
WRITTEN = Path(__file__).parents[2] / "written"
QWEN = catalogue.models()["tiny"].shape
SHAPES = {"qwen2": QWEN} | {kind: replace(QWEN, model_type=kind, qkv_bias=False) for kind in ("llama", "mistral")}
TOKENS = torch.arange(1, 40)[None]
NORM = "model.norm.weight"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A function: the folder of an unquantised model of a type, with the config.json that every version reads."""
    found = {}

    def of(kind):
        if kind not in found:
            found[kind] = tmp_path_factory.mktemp(kind)
            model.build_synthetic(build(SHAPES[kind])).save_pretrained(found[kind])
            written = {**modelconfig.config_of(SHAPES[kind]), "torch_dtype": "float32"}
            (found[kind] / "config.json").write_text(json.dumps(written))
        return found[kind]

    return of


@pytest.fixture
def variant(tmp_path):
    """A function: a copy of a folder with its tensors changed by another, and fields of its config.json."""

    def changed(source, edit=None, **config):
        folder = tmp_path / "variant"
        shutil.copytree(source, folder)
        if edit is not None:
            tensors = load_file(folder / "model.safetensors")
            edit(tensors)
            save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        found = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**found, **config}))
        return folder

    return changed


def build(shape, quant="bf16", scheme=None):
    return model.Build(shape, quant, scheme, torch.float32, CPU)


def theirs(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def logits(loaded):
    with torch.inference_mode():
        return loaded(TOKENS).logits


def decoded(loaded):
    """The last logits of a step with what transformers keeps of the tokens before it."""
    with torch.inference_mode():
        kept = loaded(TOKENS[:, :-1], use_cache=True).past_key_values
        return loaded(TOKENS[:, -1:], past_key_values=kept).logits


def refusal(folder, shape, quant="bf16"):
    with pytest.raises(BadCheckpoint) as caught:
        checkpoint.local(str(folder), shape, quant)
    return str(caught.value).removeprefix(f"weights={folder}: ")


def check_same(folder, shape):
    found = checkpoint.local(str(folder), shape, "bf16")
    assert torch.equal(logits(model.load_checkpoint(folder, build(shape))), logits(theirs(folder)))
    return found


def in_float64(*names):
    return lambda tensors: tensors.update({name: tensors[name].double() for name in names or tensors})


@pytest.mark.medium
@pytest.mark.parametrize(("names", "dtype"), [((NORM,), "mixed"), ((), "fp64")])
def test_floats_of_64_bits_are_converted(saved, variant, names, dtype):
    found = check_same(variant(saved("llama"), in_float64(*names)), SHAPES["llama"])
    assert found.dtype == dtype
    assert found.flags("fp32") == ("converted",)


@pytest.mark.medium
def test_a_mask_that_an_old_version_saved_is_a_buffer(saved, variant):
    mask = torch.ones(8, 8, dtype=torch.bool)
    check_same(variant(saved("llama"), lambda tensors: tensors.update({"model.causal_mask": mask})), SHAPES["llama"])


@pytest.mark.medium
def test_shards_in_folders_that_hold_a_buffer_twice(saved, variant):
    folder = variant(saved("qwen2"))
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, weight_map = sorted(tensors), {}
    for part in (0, 1):
        (folder / f"part{part}").mkdir()
        own = {name: tensors[name] for name in names[part::2]}
        weight_map |= dict.fromkeys(own, f"part{part}/model.safetensors")
        buffer = {"model.rotary_emb.inv_freq": torch.ones(16)}
        save_file(own | buffer, folder / f"part{part}" / "model.safetensors", {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    check_same(folder, QWEN)


@pytest.mark.medium
@pytest.mark.parametrize("kind", SHAPES)
def test_a_rotary_embedding_scaled_by_one_is_not_scaled(saved, variant, kind):
    check_same(variant(saved(kind), rope_scaling={"type": "linear", "factor": 1.0}), SHAPES[kind])


@pytest.mark.medium
@pytest.mark.parametrize("kind", SHAPES)
def test_a_model_that_sees_the_tokens_to_come_is_another(saved, variant, kind):
    folder = variant(saved(kind), is_causal=False)
    assert (logits(theirs(folder)) - logits(theirs(saved(kind)))).abs().max() > 0.1
    assert "is_causal is False" in refusal(folder, SHAPES[kind])


@pytest.mark.medium
@pytest.mark.parametrize(
    ("kind", "config", "said"),
    [
        ("llama", {"sliding_window": 16}, "sliding_window is 16, expected none below 4096 positions"),
        (
            "llama",
            {"sliding_window": 16, "layer_types": ["full_attention", "sliding_attention"]},
            "sliding_window is 16, expected none below",
        ),
        ("llama", {"attention_chunk_size": 16}, "attention_chunk_size is 16, expected none"),
        ("mistral", {"attention_chunk_size": 16}, "attention_chunk_size is 16, expected none"),
        (
            "llama",
            {"sliding_window": 16, "layer_types": ["hybrid_sliding"] * 2},
            "layer_types has hybrid_sliding, expected full_attention",
        ),
        (
            "qwen2",
            {"attribute_map": {"rms_norm_eps": "hidden_size"}},
            "attribute_map is {'rms_norm_eps': 'hidden_size'}, expected none",
        ),
        ("mistral", {"sliding_window": 16}, "sliding_window is 16, expected none below 4096 positions"),
    ],
)
def test_a_model_whose_steps_forget_is_another(saved, variant, kind, config, said):
    """With a short memory its whole sequence may come out right, but not a step."""
    folder = variant(saved(kind), **config)
    assert (decoded(theirs(folder)) - decoded(theirs(saved(kind)))).abs().max() > 1e-2
    assert said in refusal(folder, SHAPES[kind])


@pytest.mark.medium
@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("llama", {"sliding_window": None}),
        ("llama", {"sliding_window": 4096}),
        ("llama", {"sliding_window": 16, "layer_types": ["full_attention"] * 2}),
        ("mistral", {"sliding_window": 16, "layer_types": ["full_attention"] * 2}),
        ("qwen2", {"sliding_window": 16}),
        ("qwen2", {"attention_chunk_size": 16, "num_kv_shared_layers": 0}),
        ("llama", {"attention_chunk_size": 16, "layer_types": ["full_attention"] * 2}),
    ],
)
def test_a_model_whose_steps_see_all_is_taken(saved, variant, kind, config):
    folder = variant(saved(kind), **config)
    assert torch.equal(decoded(theirs(folder)), decoded(theirs(saved(kind))))
    check_same(folder, SHAPES[kind])


def told_as(name, **changes):
    """A written folder's quantization_config with fields changed, and left out where they are None."""
    found = json.loads((WRITTEN / name / "config.json").read_text())["quantization_config"] | changes
    return {field: value for field, value in found.items() if value is not None}


@pytest.mark.medium
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("bnb-nf4", {"bnb_4bit_quant_type": None}),
        ("bnb-nf4", {"bnb_4bit_quant_type": "NF4"}),
        ("bnb-nf4", {"bnb_4bit_quant_type": "fp4"}),
        ("bnb-nf4", {"bnb_4bit_use_double_quant": None}),
        ("bnb-nf4", {"bnb_4bit_use_double_quant": False}),
        ("bnb-nf4-single", {"bnb_4bit_use_double_quant": True}),
    ],
)
def test_bitsandbytes_tensors_say_themselves_how_they_are_packed(variant, name, changes):
    folder = variant(WRITTEN / name, quantization_config=told_as(name, **changes))
    assert torch.equal(logits(theirs(folder)), logits(theirs(WRITTEN / name)))
    scheme = Scheme(64, double_quant=name == "bnb-nf4")
    assert checkpoint.local(str(folder), QWEN, "bnb-nf4").scheme == scheme
    ours = (model.load_checkpoint(each, build(QWEN, "bnb-nf4", scheme)) for each in (folder, WRITTEN / name))
    assert torch.equal(*map(logits, ours))


@pytest.mark.medium
@pytest.mark.parametrize(
    ("how", "called"), [({"load_in_8bit": True}, "int8"), ({"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, "fp4")]
)
def test_what_bitsandbytes_packs_otherwise_leads_to_no_other_refusal(saved, tmp_path, how, called):
    """As save_pretrained writes it, and without what says so."""
    packed = AutoModelForCausalLM.from_pretrained(
        saved("qwen2"), quantization_config=BitsAndBytesConfig(**how), dtype=torch.bfloat16, device_map="cpu"
    )
    packed.save_pretrained(tmp_path / "packed")
    read = f"it holds bitsandbytes {called}, only nf4 is supported"
    remedy = "use the unquantised checkpoint it was made from, or another one"
    assert refusal(tmp_path / "packed", QWEN, "bnb-nf4") == f"{read}: {remedy}"
    said = refusal(tmp_path / "packed", QWEN)
    assert said.endswith(f", which is not quant=bf16: quant=bnb-nf4 cannot read it either ({read}): {remedy}")
    written = json.loads((tmp_path / "packed" / "config.json").read_text())
    del written["quantization_config"]
    (tmp_path / "packed" / "config.json").write_text(json.dumps(written))
    for quant in ("bf16", "bnb-nf4", "gptq"):
        assert refusal(tmp_path / "packed", QWEN, quant).startswith("its weights are packed (model.layers.0.")
