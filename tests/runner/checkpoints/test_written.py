"""Checkpoints that bitsandbytes, GPTQModel and AutoAWQ wrote (tests/written): read, loaded, and refused as another."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from runner import registry
from runner.cell import catalogue
from runner.cell.scheme import Scheme
from runner.checkpoints import checkpoint, tensorfile
from runner.errors import BadCheckpoint
from runner.worker import model, plainlinear
from tests.written import make

WRITTEN = Path(__file__).parents[2] / "written"
TINY = catalogue.models()["tiny"].shape
SCHEMES = {
    "bnb-nf4": ("bnb-nf4", Scheme(64, double_quant=True)),
    "bnb-nf4-single": ("bnb-nf4", Scheme(64)),
    "gptq": ("gptq", Scheme(128, sym=True)),
    "gptq-asym": ("gptq", Scheme(128)),
    "gptq-desc-act": ("gptq", Scheme(128, sym=True, desc_act=True)),
    "awq": ("awq", Scheme(128)),
}


def load(folder, name, dtype=torch.float32):
    quant, scheme = SCHEMES[name]
    return model.load_checkpoint(folder, model.Build(TINY, quant, scheme, dtype, torch.device("cpu")))


@pytest.fixture(scope="module")
def sequence():
    return torch.randint(make.WORDS, (1, 48), generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def right_logits(sequence):
    with torch.inference_mode():
        return make.base(torch.float32)(input_ids=sequence).logits


@pytest.fixture
def copy(tmp_path):
    """A copy of a folder to spoil: its tensors and its config are changed by functions."""

    def spoil(name, tensors=None, config=None):
        folder = tmp_path / name
        shutil.copytree(WRITTEN / name, folder)
        if tensors:
            found = load_file(folder / "model.safetensors")
            tensors(found)
            save_file(found, folder / "model.safetensors", {"format": "pt"})
        if config:
            found = json.loads((folder / "config.json").read_text())
            config(found["quantization_config"])
            (folder / "config.json").write_text(json.dumps(found))
        return folder

    return spoil


@pytest.mark.parametrize("name", SCHEMES)
def test_a_folder_says_how_it_is_packed(name):
    quant, scheme = SCHEMES[name]
    found = checkpoint.local(str(WRITTEN / name), TINY, quant)
    assert (found.quant, found.scheme) == (quant, scheme)
    # GPTQModel writes the biases of packed layers in float16 and all else that is not packed in bfloat16
    assert found.dtype == {"bnb-nf4": "bf16", "awq": "fp16", "gptq": "mixed"}[quant]


def test_folders_that_only_their_config_tells_apart_have_ids_of_their_own():
    headers = {tensorfile.read_header(WRITTEN / name / "model.safetensors") for name in SCHEMES if "gptq" in name}
    assert len(headers) == 1
    ids = {checkpoint.local(str(WRITTEN / name), TINY, quant).weights_id for name, (quant, _) in SCHEMES.items()}
    assert len(ids) == len(SCHEMES)


@pytest.mark.medium
@pytest.mark.parametrize("name", SCHEMES)
def test_a_loaded_model_says_what_the_unquantised_one_says(name, sequence, right_logits):
    """Up to what four bits lose of random weights; a transposed, permuted or shifted matrix says something else."""
    with torch.inference_mode():
        logits = load(WRITTEN / name, name)(input_ids=sequence).logits
    error = (logits - right_logits).norm() / right_logits.norm()
    assert 0.02 < error < 0.35


@pytest.mark.medium
@pytest.mark.parametrize("name", SCHEMES)
def test_its_bytes_are_those_accounted(name):
    quant, scheme = SCHEMES[name]
    loaded = load(WRITTEN / name, name, torch.float16)
    assert model.weight_bytes(loaded) == registry.weight_bytes(quant, scheme, TINY, 2)


@pytest.mark.medium
def test_what_bitsandbytes_loads_itself_is_what_we_load():
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(WRITTEN / "bnb-nf4", device_map="cpu", dtype=torch.bfloat16)
    ours = load(WRITTEN / "bnb-nf4", "bnb-nf4", torch.bfloat16)
    from bitsandbytes.functional import dequantize_4bit

    for name, plain in plainlinear.plain_linears(ours).items():
        weight = theirs.get_submodule(name).weight
        assert torch.equal(plain.matrix(torch.bfloat16), dequantize_4bit(weight.data, weight.quant_state)), name


@pytest.mark.parametrize(
    ("name", "quant", "said"),
    [
        ("gptq", "awq", r"\(gptq 4\), which is not quant=awq: choose quant=gptq"),
        ("awq", "bf16", r"\(awq 4\), which is not quant=bf16: choose quant=awq"),
        ("bnb-nf4", "gptq", r"\(bitsandbytes nf4\), which is not quant=gptq: choose quant=bnb-nf4"),
    ],
)
def test_another_quant_is_named(name, quant, said):
    with pytest.raises(BadCheckpoint, match=said):
        checkpoint.local(str(WRITTEN / name), TINY, quant)


def test_an_order_that_the_config_hides_is_refused(copy):
    def hide(config):
        config["desc_act"] = False

    folder = copy("gptq-desc-act", config=hide)
    assert checkpoint.local(str(folder), TINY, "gptq").scheme == Scheme(128, sym=True)  # headers cannot tell
    with pytest.raises(BadCheckpoint, match="down_proj: g_idx is not the natural order, though desc_act is false"):
        load(folder, "gptq")


@pytest.mark.medium
def test_zero_points_that_the_config_denies_are_refused(copy):
    folder = copy("gptq-asym", config=lambda config: config.update(sym=True))
    assert checkpoint.local(str(folder), TINY, "gptq").scheme == Scheme(128, sym=True)  # headers cannot tell
    with pytest.raises(BadCheckpoint, match=r"q_proj: sym is true but zero points are not 8"):
        load(folder, "gptq")


def test_a_missing_scale_is_named(copy):
    folder = copy("awq", tensors=lambda found: found.pop("model.layers.1.mlp.up_proj.scales"))
    with pytest.raises(BadCheckpoint, match=r"1 tensor missing \(model.layers.1.mlp.up_proj.scales\)"):
        checkpoint.local(str(folder), TINY, "awq")


def test_groups_that_do_not_divide_the_inputs_are_refused(copy):
    # the layers of `tiny` have 128 and 256 inputs: 128 / 96 is no whole number
    folder = copy("awq", config=lambda config: config.update(group_size=96))
    with pytest.raises(BadCheckpoint, match="its group_size is 96, which does not divide a layer's 128 inputs"):
        checkpoint.local(str(folder), TINY, "awq")


def test_groups_of_another_size_than_the_config_says_are_refused(copy):
    folder = copy("awq", config=lambda config: config.update(group_size=64))
    with pytest.raises(BadCheckpoint, match="of another shape"):
        checkpoint.local(str(folder), TINY, "awq")


@pytest.mark.medium
def test_biases_of_zeros_where_the_model_has_none_are_read_over(copy, sequence):
    """AutoGPTQ writes one for every layer."""
    name = "model.layers.0.mlp.up_proj.bias"
    folder = copy("gptq", tensors=lambda found: found.update({name: torch.zeros(256, dtype=torch.float16)}))
    checkpoint.local(str(folder), TINY, "gptq")
    with torch.inference_mode():
        ours, theirs = (load(each, "gptq")(input_ids=sequence).logits for each in (folder, WRITTEN / "gptq"))
    assert torch.equal(ours, theirs)


@pytest.mark.medium
def test_a_bias_that_is_not_zero_where_the_model_has_none_is_refused(copy):
    name = "model.layers.0.mlp.up_proj.bias"
    folder = copy("gptq", tensors=lambda found: found.update({name: torch.ones(256, dtype=torch.float16)}))
    with pytest.raises(BadCheckpoint, match=r"up_proj\.bias is not zero, and the model has no such bias"):
        load(folder, "gptq")
