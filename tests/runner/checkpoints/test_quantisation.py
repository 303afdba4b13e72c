"""How a folder is packed is read from every file that may say so, as transformers does where it reads that file."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.quantizers.auto import AutoQuantizationConfig

from runner.cell import catalogue
from runner.cell.scheme import Scheme
from runner.checkpoints import checkpoint, quantisation, weightfiles
from runner.errors import BadCheckpoint
from runner.worker import model
from tests.support import checkpoints

WRITTEN = Path(__file__).parents[2] / "written"
TINY = catalogue.models()["tiny"].shape
SCHEMES = {
    "bnb-nf4": ("bnb-nf4", Scheme(64, double_quant=True)),
    "gptq": ("gptq", Scheme(128, sym=True)),
    "gptq-desc-act": ("gptq", Scheme(128, sym=True, desc_act=True)),
    "awq": ("awq", Scheme(128)),
}
QUANTIZE, QUANT = quantisation.BESIDE
# as AutoGPTQ and AutoAWQ wrote them
OF_AUTOGPTQ = {
    "bits": 4,
    "group_size": 128,
    "damp_percent": 0.01,
    "desc_act": False,
    "static_groups": False,
    "sym": True,
    "true_sequential": True,
    "model_name_or_path": None,
    "model_file_base_name": "gptq_model-4bit-128g",
}
OF_AUTOAWQ = {"zero_point": True, "q_group_size": 128, "w_bit": 4, "version": "GEMM"}
BNB = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
SIZES = {"bits": 4, "group_size": 128}
IN_TEXT = {"bits": "4", "group_size": "128", "desc_act": "false", "sym": "True"}


@pytest.fixture
def folder(tmp_path):
    """A function: a written folder whose config.json has another quantization_config (None for none), with files."""

    def made(name, told=None, **beside):
        copied = tmp_path / "folder"
        shutil.copytree(WRITTEN / name, copied)
        config = json.loads((copied / "config.json").read_text())
        del config["quantization_config"]
        if told is not None:
            config["quantization_config"] = told
        (copied / "config.json").write_text(json.dumps(config))
        for file, fields in beside.items():
            (copied / f"{file}.json").write_text(fields if isinstance(fields, str) else json.dumps(fields))
        return copied

    return made


def refusal(folder, quant):
    with pytest.raises(BadCheckpoint) as caught:
        checkpoint.local(str(folder), TINY, quant)
    return str(caught.value).removeprefix(f"weights={folder}: ")


def logits(folder, name):
    quant, scheme = SCHEMES[name]
    loaded = model.load_checkpoint(folder, model.Build(TINY, quant, scheme, torch.float32, torch.device("cpu")))
    with torch.inference_mode():
        return loaded(torch.arange(32)[None]).logits


@pytest.mark.parametrize(
    ("name", "told", "beside"),
    [
        ("gptq", None, {"quantize_config": OF_AUTOGPTQ}),
        ("gptq", None, {"quantize_config": {"bits": 4, "group_size": 128, "desc_act": False}}),
        ("gptq", None, {"quantize_config": SIZES}),
        ("gptq", None, {"quantize_config": {**OF_AUTOGPTQ, **IN_TEXT}}),
        ("gptq-desc-act", None, {"quantize_config": {**OF_AUTOGPTQ, "desc_act": True}}),
        (
            "gptq-desc-act",
            {"quant_method": "gptq", "bits": 4, "group_size": 128},
            {"quantize_config": {"desc_act": True}},
        ),
        ("gptq", None, {"quantize_config": {"wbits": 4, "groupsize": 128}}),
        ("gptq", OF_AUTOGPTQ, {}),
        ("gptq", {"quant_method": "GPTQ", **IN_TEXT, "checkpoint_format": "GPTQ"}, {}),
        (
            "gptq",
            {"quant_method": "gptq", "bits": 4.0, "group_size": 128.0, "sym": None, "modules_to_not_convert": None},
            {},
        ),
        ("gptq", SIZES, {"quantize_config": OF_AUTOGPTQ}),
        ("gptq", {"quant_method": "gptq", **OF_AUTOGPTQ}, {"quantize_config": OF_AUTOGPTQ}),
        ("gptq", {"quant_method": "gptq", **OF_AUTOGPTQ}, {"quantize_config": "{"}),
        ("gptq", {"quant_method": "gptq", **OF_AUTOGPTQ}, {"quant_config": {"of": "another program"}}),
        ("awq", None, {"quant_config": OF_AUTOAWQ}),
        ("awq", None, {"quant_config": {"w_bit": "4", "q_group_size": "128", "zero_point": "true"}}),
        ("awq", None, {"quant_config": {**OF_AUTOAWQ, "modules_to_not_convert": ["lm_head"]}}),
        ("awq", None, {"quantize_config": {**OF_AUTOGPTQ, "quant_method": "awq"}}),
        ("awq", OF_AUTOAWQ, {}),
        ("awq", {"quant_method": "awq", "bits": 4, "group_size": 128, "backend": "autoawq"}, {}),
        ("bnb-nf4", BNB, {}),
        ("bnb-nf4", {**BNB, "quant_method": "bitsandbytes_4bit"}, {}),
        ("bnb-nf4", {**BNB, "load_in_4bit": "true", "bnb_4bit_use_double_quant": "True"}, {}),
    ],
)
def test_it_is_read_wherever_it_is_told(folder, name, told, beside):
    quant, scheme = SCHEMES[name]
    found = checkpoint.local(str(folder(name, told, **beside)), TINY, quant)
    assert (found.quant, found.scheme) == (quant, scheme)


@pytest.mark.parametrize(
    ("told", "beside", "quant", "said"),
    [
        (None, {"quantize_config": OF_AUTOGPTQ}, "awq", f"{QUANTIZE} says how it is packed (gptq 4), which is not"),
        (None, {"quantize_config": OF_AUTOGPTQ}, "bf16", f"{QUANTIZE} says how it is packed (gptq 4), which is not"),
        (None, {"quantize_config": "{"}, "gptq", f"{QUANTIZE} cannot be read ("),
        (None, {"quantize_config": "[]"}, "gptq", f"{QUANTIZE} cannot be read ("),
        (None, {"quantize_config": {"bits": 4, "group_size": 32}}, "gptq", "28 tensors of another shape"),
        (None, {"quantize_config": {"bits": "four", "group_size": 128}}, "gptq", "its bits are 'four', not a number"),
        (
            {"quant_method": "gptq", "bits": 8, "group_size": 128},
            {},
            "bf16",
            "config.json has a quantization_config (gptq 8), which is not quant=bf16: quant=gptq cannot read it "
            "either (its weights have 8 bits, only 4 are supported): use the unquantised checkpoint it was made from, "
            "or another",
        ),
        (None, {"quantize_config": "[" * 200_000}, "gptq", f"{QUANTIZE} cannot be read (brackets nested too deeply)"),
        (SIZES, {}, "gptq", "config.json has a quantization_config, but no quant_method, and"),
        ({**OF_AUTOGPTQ, **OF_AUTOAWQ}, {}, "gptq", "config.json has a quantization_config, but no quant_method, and"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": "yes"}, {}, "gptq", "its sym is 'yes', neither"),
        (
            {"quant_method": "gptq", **OF_AUTOGPTQ},
            {"quantize_config": {**OF_AUTOGPTQ, "desc_act": True}},
            "gptq",
            f"config.json and {QUANTIZE} contradict each other: desc_act is False in the one, True in the other",
        ),
        (
            {"quant_method": "gptq", **OF_AUTOGPTQ},
            {"quantize_config": {**OF_AUTOGPTQ, "group_size": "64"}},
            "gptq",
            f"config.json and {QUANTIZE} contradict each other: group_size is 128 in the one, 64 in the other",
        ),
        (
            {"quant_method": "gptq", **OF_AUTOGPTQ},
            {"quant_config": OF_AUTOAWQ},
            "gptq",
            f"config.json and {QUANT} contradict each other: quant_method is gptq in the one, awq in the other",
        ),
        (
            None,
            {"quantize_config": OF_AUTOGPTQ, "quant_config": OF_AUTOAWQ},
            "gptq",
            f"{QUANTIZE} and {QUANT} contradict each other: quant_method is gptq in the one, awq in the other",
        ),
        (
            {"quant_method": "gptq", "bits": 4, "group_size": 128, "checkpoint_format": "gptq"},
            {"quantize_config": {**OF_AUTOGPTQ, "checkpoint_format": "gptq_v2"}},
            "gptq",
            f"config.json and {QUANTIZE} contradict each other: format is gptq in the one, gptq_v2 in the other",
        ),
    ],
)
def test_what_is_wrong_with_it_names_the_place(folder, told, beside, quant, said):
    assert refusal(folder("gptq", told, **beside), quant).startswith(said)


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("quant", ["bf16", "gptq", "awq", "bnb-nf4"])
def test_packed_weights_are_never_called_unquantised(folder, name, quant):
    said = refusal(folder(name), quant)
    assert said.startswith("its weights are packed (model.layers.0.")
    assert "but nothing says how (no quantization_config in config.json, no quantize_config.json, no quant" in said
    assert "not quantised" not in said


def test_packed_weights_that_are_fetched_are_seen_too(folder):
    """A hub checkpoint is known by config.json and its like alone before the download."""
    wanted = weightfiles.expected(TINY, "bf16", None)
    with pytest.raises(BadCheckpoint, match=r"its weights are packed \(model.layers.0.+but nothing says how"):
        weightfiles.check(folder("gptq"), "org/name", wanted)


@pytest.mark.parametrize("file", [QUANTIZE, QUANT])
def test_a_file_beside_unquantised_weights_is_read_over(tmp_path, file):
    """transformers reads config.json alone."""
    plain = checkpoints.write(tmp_path / "plain")
    (plain / file).write_text(json.dumps(OF_AUTOGPTQ))
    assert checkpoint.local(str(plain), TINY, "bf16").scheme is None
    assert refusal(plain, "gptq").startswith("its weights are not quantised (config.json has no quantization_config):")


@pytest.mark.medium
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("gptq", "gptq_model-4bit-128g.safetensors"),
        ("gptq-desc-act", "vicuna-7B-GPTQ-4bit-128g.act.order.safetensors"),
        ("awq", "awq_model_w4_g128.safetensors"),
        ("gptq", "vicuna.safetensors"),
    ],
)
def test_an_old_layout_is_loaded_as_the_modern_one(folder, name, file):
    named = {"model_file_base_name": file.removesuffix(".safetensors")}
    old = folder(
        name,
        **({"quant_config": OF_AUTOAWQ} if name == "awq" else {}),
        **({"quantize_config": {**OF_AUTOGPTQ, "desc_act": name == "gptq-desc-act", **named}} if name != "awq" else {}),
    )
    (old / "model.safetensors").rename(old / file)
    (old / "._gptq_model-4bit-128g.safetensors").write_bytes(b"of the Finder")
    quant, scheme = SCHEMES[name]
    assert checkpoint.local(str(old), TINY, quant).scheme == scheme
    assert torch.equal(logits(old, name), logits(WRITTEN / name, name))


@pytest.mark.medium
@pytest.mark.parametrize("has_index", [True, False])
def test_old_names_in_shards(folder, has_index):
    old = folder("gptq", quantize_config=OF_AUTOGPTQ)
    tensors = load_file(old / "model.safetensors")
    (old / "model.safetensors").unlink()
    names = sorted(tensors)
    files = [f"gptq_model-4bit-128g-0000{part + 1}-of-00002.safetensors" for part in (0, 1)]
    for part, file in enumerate(files):
        save_file({name: tensors[name] for name in names[part::2]}, old / file)
    if has_index:
        index = {"weight_map": {name: files[place % 2] for place, name in enumerate(names)}}
        (old / "gptq_model-4bit-128g.safetensors.index.json").write_text(json.dumps(index))
    checkpoint.local(str(old), TINY, "gptq")
    assert torch.equal(logits(old, "gptq"), logits(WRITTEN / "gptq", "gptq"))
    (old / files[1]).unlink()
    assert refusal(old, "gptq").startswith(f"1 of 2 shards missing ({files[1]})")


def test_two_sets_of_old_names_are_refused(folder):
    old = folder("gptq", quantize_config=OF_AUTOGPTQ)
    shutil.copy(old / "model.safetensors", old / "gptq_model-4bit-32g.safetensors")
    (old / "model.safetensors").rename(old / "gptq_model-4bit-128g.safetensors")
    said = (
        "2 sets of weights (gptq_model-4bit-128g.safetensors, gptq_model-4bit-32g.safetensors): "
        "keep one of them there, and move the others away"
    )
    assert refusal(old, "gptq") == said


@pytest.mark.parametrize("name", SCHEMES)
def test_the_modern_name_goes_first(folder, name):
    quant, _ = SCHEMES[name]
    kept = folder(name, json.loads((WRITTEN / name / "config.json").read_text())["quantization_config"])
    (kept / "gptq_model-4bit-128g.safetensors").write_bytes(b"something else")
    checkpoint.local(str(kept), TINY, quant)


@pytest.mark.parametrize(
    "fields",
    [
        {"quant_method": "gptq", **OF_AUTOGPTQ},
        {"quant_method": "gptq", "bits": 4},
        {"quant_method": "gptq", "bits": 4, "format": "GPTQ"},
        {"quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq_v2", "format": "gptq"},
        {"quant_method": "awq", "bits": 4, "group_size": 64, "version": "GEMM"},
        {"quant_method": "awq", "bits": 4, "group_size": 64, "version": "gemv"},
        {"quant_method": "awq", "format": "gemm"},
        {"quant_method": "awq", "backend": "llm-awq"},
        BNB,
        {"load_in_4bit": True},
        {"load_in_8bit": True},
        {**BNB, "quant_method": "gptq"},  # what loads in 4 bits is bitsandbytes', whatever it is called
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
    ],
)
def test_what_transformers_takes_is_read_as_it_reads_it(fields):
    theirs = AutoQuantizationConfig.from_dict(dict(fields))
    ours = quantisation.normalised(fields)
    assert ours["quant_method"] == theirs.quant_method.value
    for name in ("bits", "group_size", "sym", "desc_act", "zero_point", "load_in_4bit", "bnb_4bit_quant_type"):
        if name in ours:
            assert ours[name] == getattr(theirs, name), name


@pytest.mark.parametrize(
    ("fields", "method"),
    [
        (OF_AUTOGPTQ, "gptq"),
        (OF_AUTOAWQ, "awq"),
        (BNB, "bitsandbytes"),
        ({"bits": 4}, None),
        ({"method": "gptq"}, "gptq"),
        ({"zero_point": True, "sym": True}, None),
        ({}, None),
    ],
)
def test_a_missing_method_follows_from_the_other_fields(fields, method):
    assert quantisation.normalised(fields).get("quant_method") == method
