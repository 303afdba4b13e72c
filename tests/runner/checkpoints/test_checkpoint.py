"""Local checkpoints: what is wrong with a folder is said before a single weight is loaded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.cell import catalogue
from runner.cell.catalogue import HubCheckpoint
from runner.cell.scheme import Scheme
from runner.checkpoints import checkpoint
from runner.errors import BadCheckpoint, MissingPackage
from tests.support import checkpoints
from tests.support.checkpoints import CONFIG, SHAPE

LLAMA_SCALING = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
MISTRAL: dict[str, Any] = {
    "model_type": "mistral",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 32768,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1000000.0,
    "sliding_window": None,
}
LLAMA = {
    **MISTRAL,
    "model_type": "llama",
    "vocab_size": 128256,
    "rope_theta": 500000.0,
    "rope_scaling": LLAMA_SCALING,
    "attention_bias": False,
    "mlp_bias": False,
}


def refusal(folder: Path) -> str:
    with pytest.raises(BadCheckpoint) as caught:
        checkpoint.local(str(folder), SHAPE, "bf16")
    assert str(caught.value).startswith(f"weights={folder}: ")
    return str(caught.value)


def configure(folder: Path, **changes: Any) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))


def test_a_right_folder_is_taken(folder: Path) -> None:
    found = checkpoint.local(str(folder), SHAPE, "bf16")
    assert (found.folder, found.pinned) == (folder.resolve(), True)
    assert checkpoint.fetch(found) == folder.resolve()


def test_the_id_names_the_weights_and_not_the_place(folder: Path, tmp_path: Path) -> None:
    elsewhere = checkpoints.write(tmp_path / "elsewhere")
    first, second = (checkpoint.local(str(place), SHAPE, "bf16").weights_id for place in (folder, elsewhere))
    assert first == second == "content-6f906564135fb1a7"  # for ever: cells of such folders are named by it
    checkpoints.shard(elsewhere)
    assert checkpoint.local(str(elsewhere), SHAPE, "bf16").weights_id != first


@pytest.mark.parametrize(
    ("stored", "dtype", "flags"), [("BF16", "bf16", ()), ("BF16", "fp16", ("converted",)), ("F32", "fp32", ())]
)
def test_weights_of_another_dtype_are_flagged(folder: Path, stored: str, dtype: str, flags: tuple[str, ...]) -> None:
    (folder / "model.safetensors").write_bytes(checkpoints.safetensors(checkpoints.tensors(stored)))
    assert checkpoint.local(str(folder), SHAPE, "bf16").flags(dtype) == flags


def test_weights_of_several_dtypes_are_flagged_in_each(folder: Path) -> None:
    tensors = checkpoints.tensors() | {"model.norm.weight": ("F32", (128,))}
    (folder / "model.safetensors").write_bytes(checkpoints.safetensors(tensors))
    assert checkpoint.local(str(folder), SHAPE, "bf16").flags("bf16") == ("converted",)


def test_a_home_folder_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert checkpoint.local(f"~/{folder.name}", SHAPE, "bf16").folder == folder.resolve()


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "nowhere")


def test_no_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "no config.json" in refusal(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"\xff",
        b"[" * 200_000,
        b'{"a": ' * 200_000,
        json.dumps(CONFIG).encode("utf-8-sig"),
        json.dumps(CONFIG).encode("utf-16"),
        json.dumps(CONFIG).encode("utf-16-le"),
        json.dumps([CONFIG]).encode(),
        json.dumps(CONFIG).encode()[:-40],
    ],
)
def test_a_config_that_transformers_cannot_read_either(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    said = refusal(folder)
    assert said.startswith(f"weights={folder}: config.json ")
    assert said.endswith(": fetch it again, or save it as a JSON object in UTF-8 without a byte order mark")
    transformers = pytest.importorskip("transformers")
    with pytest.raises((OSError, RecursionError, ValueError, TypeError, AttributeError)):
        transformers.AutoConfig.from_pretrained(folder)


@pytest.mark.parametrize("value", ["[" * 900 + "]" * 900, "1e999", "9" * 4000, "-" + "9" * 4000, "NaN"])
@pytest.mark.parametrize("field", ["rope_theta", "hidden_size", "layer_types", "rope_scaling", "vocab_size"])
def test_a_value_without_bounds_is_one_line(folder: Path, field: str, value: str) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, field: "HERE"}).replace('"HERE"', value))
    assert "config.json" in refusal(folder)
    assert len(refusal(folder)) < 1000


def test_the_file_is_not_its_folder(folder: Path) -> None:
    with pytest.raises(BadCheckpoint, match=r"model.safetensors: a file: give the folder that it is in$"):
        checkpoint.local(str(folder / "model.safetensors"), SHAPE, "bf16")


@pytest.mark.parametrize("others", [0, 1])
def test_a_repository_of_the_hubs_cache_is_not_its_snapshot(tmp_path: Path, others: int) -> None:
    """As huggingface_hub lays it out: models--OWNER--NAME/{blobs,refs,snapshots}."""
    repository, commit = tmp_path / "models--me--mine", "a" * 40
    checkpoints.write(repository / "snapshots" / commit)
    for other in range(others):
        checkpoints.write(repository / "snapshots" / (str(other) * 40))
    (repository / "refs").mkdir()
    said = f"it is a repository in the hub's cache: give its folder snapshots/{'<commit>' if others else commit}"
    assert refusal(repository).endswith(f": no config.json in that folder: {said}")


def test_an_adapter_alone_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    assert "no config.json in that folder: only an adapter (as LoRA's) is there: merge it" in refusal(tmp_path)


def test_wrong_tensors_are_found_here_already(folder: Path) -> None:
    tensors = checkpoints.tensors()
    del tensors["lm_head.weight"]
    (folder / "model.safetensors").write_bytes(checkpoints.safetensors(tensors))
    assert "1 tensor missing (lm_head.weight): use a complete" in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": 256}, "hidden_size is 256, expected 128"),
        ({"num_hidden_layers": 3}, "num_hidden_layers is 3, expected 2"),
        ({"num_key_value_heads": 4}, "num_key_value_heads is 4, expected 2"),
        ({"vocab_size": 1}, "vocab_size is 1, expected 512"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings is True, expected False"),
        ({"model_type": "llama"}, "model_type is llama, expected qwen2"),
        ({"head_dim": 64}, "head_dim is 64, expected 32"),
        ({"rope_theta": 1.0}, "rope_theta is 1.0, expected 10000.0"),
        ({"rope_scaling": LLAMA_SCALING}, "rope_scaling is"),
        ({"hidden_act": "gelu"}, "hidden_act is gelu, expected silu"),
        ({"is_causal": False}, "is_causal is False, expected true: tokens would attend to later ones"),
        ({"is_causal": None}, "is_causal is None, expected true"),
        ({"attribute_map": {"rms_norm_eps": "hidden_size"}}, "attribute_map is {'rms_norm_eps': 'hidden_size'}, expec"),
        ({"text_config": {"hidden_size": 1}}, "text_config is {'hidden_size': 1}, expected none"),
        ({"layer_types": ["chunked_attention"] * 2}, "layer_types has chunked_attention, expected full_attention"),
        ({"num_kv_shared_layers": 1}, "num_kv_shared_layers is 1, expected none"),
        ({"per_layer_config": {"0": {}}}, "per_layer_config is {'0': {}}, expected none"),
        ({"transformers_weights": "other.safetensors"}, "transformers_weights is 'other.safetensors', expected none"),
        ({"max_position_embeddings": 2048}, "max_position_embeddings is 2048, expected at least 4096"),
        (
            {"architectures": ["Qwen2ForSequenceClassification"]},
            "architectures is ['Qwen2ForSequenceClassification'], expected a …ForCausalLM",
        ),
        (
            {"sliding_window": 1024, "use_sliding_window": True, "max_window_layers": 1},
            "sliding_window is 1024, expected none below 4096 positions",
        ),
    ],
)
def test_another_model_says_which_field_differs(folder: Path, changes: dict[str, Any], said: str) -> None:
    configure(folder, **changes)
    found = refusal(folder)
    assert f"another model in config.json: {said}" in found
    assert found.endswith(": use a checkpoint of the requested model")


@pytest.mark.medium
@pytest.mark.parametrize("changes", [{"max_position_embeddings": "many"}, {"rope_scaling": "yarn"}])
def test_a_field_of_another_kind_is_one_line(folder: Path, changes: dict[str, Any]) -> None:
    configure(folder, **changes)
    assert "config.json has a value of an unexpected type" in refusal(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"sliding_window": None, "use_sliding_window": True},
        {"sliding_window": 1024, "use_sliding_window": False},
        {"sliding_window": 1024},  # Qwen2's is off unless it is switched on
        {"sliding_window": 1024, "use_sliding_window": True},  # and on for the layers after the 28th
        {"sliding_window": 4096, "use_sliding_window": True},
        {"max_position_embeddings": 131072},
        {"attention_bias": False, "mlp_bias": True},  # Qwen2 has no such fields: its tensors say what it has
        {"hidden_act": "swish"},
        {"is_causal": True},
        {"attention_chunk_size": 128},  # Qwen2 has layer_types, which say otherwise
        {"num_kv_shared_layers": 0},
        {"rope_scaling": {"type": "linear", "factor": 1.0}},
        {"architectures": ["Qwen2Model"]},
    ],
)
def test_what_changes_no_step_is_no_difference(folder: Path, changes: dict[str, Any]) -> None:
    configure(folder, **changes)
    assert checkpoint.local(str(folder), SHAPE, "bf16").folder == folder.resolve()


@pytest.mark.parametrize(("window", "said"), [(4096, "sliding_window is 4096"), (32768, None), (None, None)])
def test_mistrals_window_is_on_where_it_is_set(window: int | None, said: str | None) -> None:
    found = list(checkpoint.differences({**MISTRAL, "sliding_window": window}, catalogue.models()["mistral-7b"].shape))
    assert found == [] if said is None else found[0].startswith(said)


def test_a_mistral_that_says_nothing_of_a_window_has_transformers_default() -> None:
    config = {name: value for name, value in MISTRAL.items() if name != "sliding_window"}
    (said,) = checkpoint.differences(config, catalogue.models()["mistral-7b"].shape)
    assert said == "sliding_window is 4096, expected none below 32768 positions"


@pytest.mark.parametrize(
    ("quantised", "said"),
    [
        ({"quant_method": "awq", "bits": 4}, "awq 4"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq 4"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "bitsandbytes nf4"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes"),
        ("yes", "unknown"),
    ],
)
def test_a_quantised_checkpoint_says_which_quant_it_is(folder: Path, quantised: Any, said: str) -> None:
    configure(folder, quantization_config=quantised)
    assert f"config.json has a quantization_config ({said}), which is not quant=bf16" in refusal(folder)


def test_a_config_of_transformers_5_names_rope_otherwise() -> None:
    config = {**CONFIG, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
    del config["rope_theta"], config["rope_scaling"]
    assert list(checkpoint.differences(config, SHAPE)) == []


@pytest.mark.parametrize("key", ["rope_type", "type"])
def test_rope_scaling_is_compared_under_both_of_its_names(key: str) -> None:
    scaling = {**LLAMA_SCALING, key: LLAMA_SCALING["rope_type"]}
    if key == "type":
        del scaling["rope_type"]
    shape = catalogue.models()["llama-3.1-8b"].shape
    assert list(checkpoint.differences({**LLAMA, "rope_scaling": scaling}, shape)) == []
    (said,) = checkpoint.differences({**LLAMA, "rope_scaling": {**scaling, "factor": 32.0}}, shape)
    assert "'factor': 32.0" in said


@pytest.mark.parametrize("quant", ["gptq", "bf16"])
def test_the_hubs_other_files_say_how_it_is_packed(folder: Path, quant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "quantize_config.json").write_text('{"bits": "4", "group_size": 128, "desc_act": false}')
    asked: list[str] = []

    def download(_hub: str, _revision: str | None, patterns: list[str]) -> Path:
        asked.extend(patterns)
        return folder

    monkeypatch.setattr(checkpoint, "_download", download)
    if quant == "gptq":
        assert checkpoint.on_hub(HubCheckpoint("org/model", None), SHAPE, quant).scheme == Scheme(128, sym=True)
    else:
        with pytest.raises(BadCheckpoint, match=r"quantize_config.json says how it is packed \(gptq 4\), which is not"):
            checkpoint.on_hub(HubCheckpoint("org/model", None), SHAPE, quant)
    assert asked == ["config.json", "quantize_config.json", "quant_config.json"]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingPackage, match="huggingface_hub"):
        checkpoint.on_hub(HubCheckpoint("org/model", None), SHAPE, "bf16")
