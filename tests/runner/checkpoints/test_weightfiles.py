"""Safetensors headers: whatever is wrong with a checkpoint's tensors is said by name before a weight is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from runner.cell import catalogue
from runner.checkpoints import tensorfile, weightfiles
from tests.support import checkpoints
from tests.support.checkpoints import Tensors, refusal

Q_NORM = "model.layers.0.self_attn.q_norm.weight"
NORM = "model.norm.weight"
UP = "model.layers.1.mlp.up_proj.weight"


def change(folder: Path, edit: Callable[[Tensors], object]) -> None:
    tensors = checkpoints.tensors()
    edit(tensors)
    (folder / "model.safetensors").write_bytes(checkpoints.safetensors(tensors))


@pytest.mark.medium
@pytest.mark.parametrize("key", ["tiny", "qwen2.5-0.5b", "qwen2.5-7b", "mistral-7b", "llama-3.1-8b"])
def test_the_tensors_of_a_shape_are_those_of_transformers_own_model(key: str) -> None:
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM

    from runner.worker.model import config_of

    shape = replace(catalogue.models()[key].shape, layers=2)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config_of(shape))
    model.tie_weights()
    theirs = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert {name: part.shape for name, part in weightfiles.expected(shape, "bf16", None).items()} == theirs


def test_a_right_folder_gives_every_tensor_its_file(folder: Path) -> None:
    found = weightfiles.check(folder, "weights=x", checkpoints.WANTED)
    assert found.keys() == checkpoints.tensors().keys()
    assert found[UP] == tensorfile.Tensor(folder / "model.safetensors", "BF16", (256, 128))


@pytest.mark.parametrize("dtype", ["F16", "F32", "F64"])
def test_other_float_formats_are_right_too(folder: Path, dtype: str) -> None:
    (folder / "model.safetensors").write_bytes(checkpoints.safetensors(checkpoints.tensors(dtype)))
    assert weightfiles.check(folder, "weights=x", checkpoints.WANTED)[UP].dtype == dtype


def test_a_real_safetensors_file_is_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(3, 5), "b": torch.ones(7)}, file, {"format": "pt"})
    assert weightfiles.tensors([file])["a"] == tensorfile.Tensor(file, "F32", (3, 5))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda found: found.pop(UP), f"1 tensor missing ({UP})"),
        (lambda found: found.pop("lm_head.weight"), "1 tensor missing (lm_head.weight)"),
        (
            lambda found: found.update({UP: ("BF16", (128, 128))}),
            f"1 tensor of another shape ({UP} is [128, 128], expected [256, 128])",
        ),
        (
            lambda found: found.update({NORM: ("I64", (128,))}),
            f"1 tensor not in BF16, F16, F32, F64 ({NORM} is I64)",
        ),
    ],
)
def test_a_wrong_tensor_is_named(folder: Path, edit: Callable[[Tensors], object], said: str) -> None:
    change(folder, edit)
    assert refusal(folder) == f"weights=x: {said}: use a complete checkpoint of this model in this quant"


@pytest.mark.parametrize(
    "name",
    [
        Q_NORM,
        "v_head.summary.weight",
        "score.weight",
        "lm_head.bias",
        "model.layers.0.self_attn.k_proj.k_scale",
        "model.layers.0.self_attn.q_proj._extra_state",
        "model.layers.0.self_attn.q_proj.weight_mask",
        "model.layers.2.mlp.up_proj.weight",
    ],
)
def test_a_tensor_too_many_is_told_what_transformers_makes_of_it(folder: Path, name: str) -> None:
    dtype = {"_extra_state": "U8", "weight_mask": "BOOL"}.get(name.rpartition(".")[2], "BF16")
    change(folder, lambda found: found.update({name: (dtype, (32,))}))
    assert refusal(folder) == (
        f"weights=x: 1 tensor more than the model has ({name}): transformers ignores these tensors: use a checkpoint "
        "without them; if the model without them is to be measured, remove them from its files"
    )


@pytest.mark.parametrize(
    ("edit", "packed"),
    [
        ({UP: ("I8", (256, 128)), UP.replace("weight", "SCB"): ("F32", (256,))}, f"{UP} in I8"),  # bitsandbytes int8
        ({UP: ("F8_E4M3", (256, 128))}, f"{UP} in F8_E4M3"),
        ({UP: ("U8", (128, 128))}, f"{UP} in U8"),
        ({UP.replace("weight", "q_weight"): ("I32", (16, 256))}, f"{UP.replace('weight', 'q_weight')} in I32"),
        ({UP.replace("weight", "trellis"): ("I16", (8, 16, 64))}, f"{UP.replace('weight', 'trellis')} in I16"),
        ({f"{UP}._data": ("I8", (256, 128))}, f"{UP}._data in I8"),  # quanto
        ({UP.replace("weight", "indices"): ("I64", (8, 8))}, f"{UP.replace('weight', 'indices')} in I64"),
        ({UP.replace("weight", "W_q"): ("F32", (8, 8))}, f"{UP.replace('weight', 'W_q')} in F32"),
    ],
)
def test_packed_weights_are_known_by_their_dtypes(folder: Path, edit: Tensors, packed: str) -> None:
    """Whatever their packer calls them."""
    change(folder, lambda found: (found.pop(UP), found.update(edit)))
    assert refusal(folder).startswith(f"weights=x: its weights are packed ({packed}), but nothing says how (")


def test_of_many_wrong_tensors_a_few_are_named(folder: Path) -> None:
    change(folder, lambda found: [found.pop(name) for name in list(found) if "layers.1" in name])
    assert "12 tensors missing (model.layers.1.self_attn.q_proj.weight, " in refusal(folder)
    assert ", …): use" in refusal(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickled_weights_are_never_loaded(folder: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"\x80\x04.")
    said = f"weights=x: only {name}: pickled weights are never loaded: convert to safetensors"
    assert refusal(folder) == said


def test_shards(folder: Path) -> None:
    names = checkpoints.shard(folder)
    found = weightfiles.check(folder, "weights=x", checkpoints.WANTED)
    assert {tensor.file.name for tensor in found.values()} == set(names)


def test_a_missing_shard(folder: Path) -> None:
    _, second = checkpoints.shard(folder)
    (folder / second).unlink()
    assert refusal(folder) == f"weights=x: 1 of 2 shards missing ({second}): fetch the folder again"


def test_a_tensor_in_two_shards(folder: Path) -> None:
    first, second = checkpoints.shard(folder)
    (folder / second).write_bytes((folder / first).read_bytes())
    said = f"weights=x: tensor model.embed_tokens.weight is in {first} and in {second}: remove one"
    assert refusal(folder) == said


@pytest.mark.parametrize(
    "index",
    [
        "{",
        "{}",
        "[" * 200_000,
        '{"weight_map": {}}',
        '{"weight_map": {"w": 1}}',
        '{"weight_map": {"w": "../outside"}}',
        '{"weight_map": {"w": "in/../../outside"}}',
        '{"weight_map": {"w": "/outside"}}',
        '{"weight_map": {"w": ""}}',
        '{"weight_map": {"w": "a\\u0000b"}}',
    ],
)
def test_a_damaged_index(folder: Path, index: str) -> None:
    checkpoints.shard(folder)
    (folder / "model.safetensors.index.json").write_text(index)
    assert "weights=x: model.safetensors.index.json is damaged" in refusal(folder)
    assert refusal(folder).endswith("fetch it again")


def test_an_index_may_name_files_in_folders(folder: Path) -> None:
    names = checkpoints.shard(folder)
    text = (folder / "model.safetensors.index.json").read_text()
    for name in names:
        (folder / f"in-{name}").mkdir()
        (folder / name).rename(folder / f"in-{name}" / "part.safetensors")
        text = text.replace(name, f"in-{name}/part.safetensors")
    (folder / "model.safetensors.index.json").write_text(text)
    assert weightfiles.check(folder, "weights=x", checkpoints.WANTED).keys() == checkpoints.tensors().keys()
    (folder / f"in-{names[1]}" / "part.safetensors").unlink()
    assert "1 of 2 shards missing (in-model-2-of-2.safetensors/part.safetensors)" in refusal(folder)


@pytest.mark.parametrize("name", ["model.rotary_emb.inv_freq", "model.layers.0.self_attn.rotary_emb.inv_freq"])
def test_a_buffer_in_two_shards_is_read_over_in_both(folder: Path, name: str) -> None:
    for place, file in enumerate(checkpoints.shard(folder)):
        part = {own: tensor for at, (own, tensor) in enumerate(checkpoints.tensors().items()) if at % 2 == place}
        (folder / file).write_bytes(checkpoints.safetensors({**part, name: ("F32", (16,))}))
    assert weightfiles.check(folder, "weights=x", checkpoints.WANTED).keys() == checkpoints.tensors().keys()


def test_one_whole_file_goes_before_the_shards_of_an_older_save(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    checkpoints.shard(folder)
    (folder / "model.safetensors").write_bytes(whole)
    assert json.loads((folder / "model.safetensors.index.json").read_text())
    assert [file.name for file in weightfiles.weight_files(folder, "x")] == ["model.safetensors"]
