"""A folder of packed weights for an engine: written, or linked to the checkpoint, it loads as the same model."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from runner.errors import DiskFull
from runner.worker import model, packedfolder, plainlinear, tokens
from tests.support.packed_models import CPU, TINY, build

pytestmark = pytest.mark.usefixtures("inference")


@pytest.mark.medium
def test_a_written_folder_loads_again(tmp_path: Path):
    built = model.build_synthetic(build("gptq", torch.float16))
    packedfolder.write(built, TINY, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["quantization_config"]["quant_method"] == "gptq"
    assert config["rope_theta"] == TINY.rope_theta
    loaded = model.load_checkpoint(tmp_path, build("gptq", torch.float16))
    sequence = tokens.draw(TINY.vocab, 20, 0, CPU).sequence[None]
    assert torch.equal(loaded(input_ids=sequence).logits, built(input_ids=sequence).logits)


@pytest.mark.medium
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


@pytest.mark.medium
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


@pytest.mark.medium
def test_a_checkpoint_with_more_than_the_model_needs_is_linked_all_the_same(gptq_copy: Path, tmp_path: Path):
    tensors = load_file(gptq_copy / "model.safetensors")
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(16)
    save_file(tensors, gptq_copy / "model.safetensors", {"format": "pt"})
    (tmp_path / "linked").mkdir()
    assert linked(gptq_copy, tmp_path / "linked") == [True]


@pytest.mark.medium
def test_a_checkpoint_with_other_names_is_written_anew(gptq_copy: Path, tmp_path: Path):
    """transformers finds a model's tensors without their first word, too; the engine does not."""
    tensors = load_file(gptq_copy / "model.safetensors")
    renamed = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    save_file(renamed, gptq_copy / "model.safetensors", {"format": "pt"})
    (tmp_path / "linked").mkdir()
    assert linked(gptq_copy, tmp_path / "linked") == [False]


@pytest.mark.medium
def test_a_file_system_that_does_not_tell_its_size_is_written_to(tmp_path: Path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(total=0, free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    packedfolder.write(model.build_synthetic(build("gptq", torch.float16)), TINY, tmp_path)
    assert (tmp_path / packedfolder.FILE).stat().st_size > 100_000


@pytest.mark.medium
def test_a_released_model_holds_nothing():
    built = model.build_synthetic(build("gptq", torch.float16))
    packedfolder.release(built)
    assert model.weight_bytes(built) == sum(p.nbytes for p in built.parameters() if p.device.type == "meta")
    assert all(parameter.device.type == "meta" for parameter in built.parameters())
    assert all(not plain.tensors for plain in plainlinear.plain_linears(built).values())
