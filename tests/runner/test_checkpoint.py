"""Checkpoints: what is wrong with a folder is said before a single weight is loaded."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from runner import catalogue, checkpoint
from runner.catalogue import HubCheckpoint
from runner.errors import BadCheckpoint, Interrupted, MissingPackage

SHAPE = catalogue.models()["tiny"].shape
CONFIG: dict[str, Any] = {
    "model_type": "qwen2",
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 256,
    "vocab_size": 512,
    "tie_word_embeddings": False,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "rope_scaling": None,
}
LLAMA_SCALING = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def safetensors(values: int = 4) -> bytes:
    """One bf16 tensor: 8 bytes of length, the header, two bytes a value."""
    header = json.dumps({"w": {"dtype": "BF16", "shape": [values], "data_offsets": [0, 2 * values]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(2 * values)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of the right shape in one file."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "model.safetensors").write_bytes(safetensors())
    return tmp_path


def shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    names = [f"model-{part}-of-2.safetensors" for part in (1, 2)]
    for name in names:
        (folder / name).write_bytes(safetensors())
    index = {"weight_map": {f"w{part}": name for part, name in enumerate(names)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def refusal(folder: Path) -> str:
    with pytest.raises(BadCheckpoint) as caught:
        checkpoint.local(str(folder), SHAPE)
    return str(caught.value)


def test_a_right_folder_is_taken(folder: Path) -> None:
    found = checkpoint.local(str(folder), SHAPE)
    assert (found.folder, found.pinned) == (folder.resolve(), True)
    assert checkpoint.fetch(found) == folder.resolve()


def test_the_id_names_the_weights_and_not_the_place(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for file in folder.iterdir():
        (elsewhere / file.name).write_bytes(file.read_bytes())
    first, second = (checkpoint.local(str(place), SHAPE).weights_id for place in (folder, elsewhere))
    assert first == second
    assert first.startswith("headers-")
    (elsewhere / "model.safetensors").write_bytes(safetensors(values=8))
    assert checkpoint.local(str(elsewhere), SHAPE).weights_id != first


def test_a_real_safetensors_file_is_read(folder: Path) -> None:
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file({"a": torch.zeros(3, 5), "b": torch.ones(7)}, folder / "model.safetensors", {"format": "pt"})
    assert json.loads(checkpoint.read_header(folder / "model.safetensors"))["a"]["shape"] == [3, 5]


def test_a_home_folder_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert checkpoint.local(f"~/{folder.name}", SHAPE).folder == folder.resolve()


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "nowhere")


def test_no_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "no config.json" in refusal(folder)


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_a_damaged_config(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="latin-1")
    assert "config.json" in refusal(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickled_weights_are_never_loaded(folder: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"\x80\x04.")
    assert "pickled weights are never loaded: convert to safetensors" in refusal(folder)


def test_no_weights_at_all(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "neither model.safetensors nor model.safetensors.index.json" in refusal(folder)


@pytest.mark.parametrize("keep", [0, 4, 20, -1])
def test_a_truncated_file(folder: Path, keep: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    assert "truncated" in refusal(folder)


def test_a_file_with_a_tail(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes() + b"x")
    assert "its header says" in refusal(folder)


@pytest.mark.parametrize("header", [b"[]", b"{not json", b'{"w": {}}', b'{"w": {"data_offsets": [0]}}', b"\xff\xfe"])
def test_a_damaged_header(folder: Path, header: bytes) -> None:
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert "header is damaged" in refusal(folder)


def test_an_absurd_header_length_is_not_read(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((2**63).to_bytes(8, "little") + bytes(16))
    assert "truncated or not safetensors" in refusal(folder)


def test_shards(folder: Path) -> None:
    shard(folder)
    found = checkpoint.local(str(folder), SHAPE)
    assert [file.name for file in checkpoint.weight_files(folder)] == [
        "model-1-of-2.safetensors",
        "model-2-of-2.safetensors",
    ]
    assert found.weights_id.startswith("headers-")


def test_a_missing_shard(folder: Path) -> None:
    shard(folder)
    (folder / "model-2-of-2.safetensors").unlink()
    assert "1 of 2 shards missing (model-2-of-2.safetensors" in refusal(folder)


@pytest.mark.parametrize("index", ["{", "{}", '{"weight_map": {}}', '{"weight_map": {"w": "../outside"}}'])
def test_a_damaged_index(folder: Path, index: str) -> None:
    (folder / "model.safetensors.index.json").write_text(index)
    assert "index" in refusal(folder)


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
    ],
)
def test_another_shape_says_which_field_differs(folder: Path, changes: dict[str, Any], said: str) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    assert said in refusal(folder)


def test_a_config_of_transformers_5_names_rope_otherwise() -> None:
    config = {**CONFIG, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
    del config["rope_theta"], config["rope_scaling"]
    assert list(checkpoint.shape_differences(config, SHAPE)) == []


@pytest.mark.parametrize("key", ["rope_type", "type"])
def test_rope_scaling_is_compared_under_both_of_its_names(key: str) -> None:
    llama = catalogue.models()["llama-3.1-8b"].shape
    scaling = {**LLAMA_SCALING, key: LLAMA_SCALING["rope_type"]}
    if key == "type":
        del scaling["rope_type"]
    config = {
        "model_type": "llama",
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "vocab_size": 128256,
        "tie_word_embeddings": False,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "rope_scaling": scaling,
    }
    assert list(checkpoint.shape_differences(config, llama)) == []


class FakeHub(types.ModuleType):
    """huggingface_hub as far as we use it: one repository, lying in a folder named after its commit."""

    def __init__(self, snapshot: Path) -> None:
        super().__init__("huggingface_hub")
        self.snapshot = snapshot
        self.calls: list[dict[str, Any]] = []
        self.error: Exception | None = None

    def snapshot_download(self, hub: str, **options: Any) -> str:
        self.calls.append({"hub": hub, **options})
        if self.error:
            raise self.error
        return str(self.snapshot)


@pytest.fixture
def hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    snapshot = folder / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).rename(snapshot / name)
    fake = FakeHub(snapshot)
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    return fake


def test_a_pinned_revision_is_the_weights_id_and_nothing_big_is_fetched_yet(hub: FakeHub) -> None:
    found = checkpoint.on_hub(HubCheckpoint("org/model", "abc123"), SHAPE)
    assert (found.weights_id, found.pinned, found.folder) == ("abc123", True, None)
    assert [(call["revision"], call["allow_patterns"]) for call in hub.calls] == [("abc123", ["config.json"])]


def test_an_unpinned_one_is_resolved_once_and_then_fetched_at_that_commit(hub: FakeHub) -> None:
    found = checkpoint.on_hub(HubCheckpoint("org/model", None), SHAPE)
    assert (found.weights_id, found.pinned) == ("c0ffee", False)
    assert checkpoint.fetch(found) == hub.snapshot
    assert [call["revision"] for call in hub.calls] == [None, "c0ffee"]


def test_only_safetensors_and_json_are_asked_for(hub: FakeHub) -> None:
    checkpoint.fetch(checkpoint.on_hub(HubCheckpoint("org/model", "abc"), SHAPE))
    assert hub.calls[-1]["allow_patterns"] == ["*.safetensors", "*.json"]
    assert hub.calls[-1]["ignore_patterns"] == ["consolidated*", "original/*"]


def test_a_hub_that_cannot_be_reached_is_one_line(hub: FakeHub) -> None:
    hub.error = OSError("no route\nto host")
    with pytest.raises(BadCheckpoint, match=r"org/model cannot be fetched \(OSError: no route\)"):
        checkpoint.on_hub(HubCheckpoint("org/model", None), SHAPE)


def test_ctrl_c_while_downloading_stays_what_it_is(hub: FakeHub) -> None:
    hub.error = Interrupted("stopped by Ctrl-C")
    with pytest.raises(Interrupted):
        checkpoint.on_hub(HubCheckpoint("org/model", None), SHAPE)


def test_a_truncated_download_is_refused(hub: FakeHub) -> None:
    found = checkpoint.on_hub(HubCheckpoint("org/model", "abc"), SHAPE)
    (hub.snapshot / "model.safetensors").write_bytes(safetensors()[:-2])
    with pytest.raises(BadCheckpoint, match="truncated"):
        checkpoint.fetch(found)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingPackage, match="huggingface_hub"):
        checkpoint.on_hub(HubCheckpoint("org/model", None), SHAPE)
