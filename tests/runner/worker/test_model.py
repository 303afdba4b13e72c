"""Real checkpoints: written by transformers, loaded whole or refused, by torch and transformers alone."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file

from runner.cell import catalogue
from runner.errors import BadCheckpoint
from runner.worker import model
from tests.support.processes import SMALL_CACHE

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")
TINY = catalogue.models()["tiny"].shape
SAID = r"the checkpoint cannot be loaded \(\w+: .*\): (fetch the folder again|its disk)"
# Python runs this module at its start, in the worker too: the package is then neither found nor imported. It runs no
# other module of that name, so this one runs that of small_cache.
HIDING = f"""
import runpy, sys
sys.modules['accelerate'] = None
runpy.run_path({str(ROOT / "tests" / "small_cache" / "sitecustomize.py")!r})
"""


def plain(shape, dtype=torch.bfloat16):
    return model.Build(shape, "bf16", None, dtype, CPU)


def save(folder, shape=TINY, dtype=torch.bfloat16):
    model.build_synthetic(plain(shape, dtype)).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path):
    return save(tmp_path / "tiny")


def edit(folder, change):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


@pytest.mark.medium
@pytest.mark.parametrize("tied", [False, True])
def test_a_checkpoint_comes_back_bit_for_bit(tmp_path, tied):
    shape = replace(TINY, tied_embedding=tied)
    loaded = model.load_checkpoint(save(tmp_path / "saved", shape), plain(shape))
    found = dict(loaded.named_parameters())
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    assert found.keys() == saved.keys()
    assert all(torch.equal(found[name], saved[name]) for name in saved)
    assert loaded.lm_head.weight is (loaded.model.embed_tokens.weight if tied else found["lm_head.weight"])


@pytest.mark.medium
def test_it_computes_what_transformers_own_loading_computes(folder):
    from transformers import AutoModelForCausalLM

    tokens = torch.arange(20)[None]
    with torch.inference_mode():
        theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)(tokens).logits
        ours = model.load_checkpoint(folder, plain(TINY))(tokens).logits
    assert torch.equal(ours, theirs)


@pytest.mark.medium
def test_shards_are_put_together(tmp_path):
    whole = model.build_synthetic(plain(TINY, torch.bfloat16))
    whole.save_pretrained(tmp_path, max_shard_size="200KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    found = dict(model.load_checkpoint(tmp_path, plain(TINY)).named_parameters())
    assert all(torch.equal(found[name], parameter) for name, parameter in whole.named_parameters())


@pytest.mark.medium
def test_weights_of_another_dtype_are_converted(tmp_path):
    save(tmp_path, dtype=torch.float32)
    saved = load_file(tmp_path / "model.safetensors")
    found = dict(model.load_checkpoint(tmp_path, plain(TINY)).named_parameters())
    assert all(torch.equal(found[name], saved[name].bfloat16()) for name in saved)


@pytest.mark.medium
@pytest.mark.parametrize("name", ["model.layers.1.mlp.up_proj.weight", "model.layers.0.self_attn.q_proj.bias"])
def test_a_missing_tensor_is_refused_by_name(folder, name):
    edit(folder, lambda tensors: tensors.pop(name))
    with pytest.raises(BadCheckpoint, match=name.replace(".", r"\.")):
        model.load_checkpoint(folder, plain(TINY))


@pytest.mark.medium
@pytest.mark.parametrize(
    "error",
    [
        safetensors.SafetensorError("header"),
        OSError(5, "Input/output error", "filled in below"),
        RuntimeError("size"),
        KeyError("name"),
        ValueError("kind"),
        ImportError("package"),
    ],
)
def test_whatever_fails_while_reading_is_the_checkpoints_error(folder, monkeypatch, error):
    if isinstance(error, OSError):
        error.filename = str(folder / "model.safetensors")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(model, "safe_open", fail)
    with pytest.raises(BadCheckpoint, match=SAID) as caught:
        model.load_checkpoint(folder, plain(TINY))
    assert str(folder) not in str(caught.value)


@pytest.mark.medium
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_memory_that_runs_out_is_not_the_checkpoints_fault(folder, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(model, "safe_open", fail)
    with pytest.raises(type(error)):
        model.load_checkpoint(folder, plain(TINY))


def cell(folder, spool, hide=None):
    options = ["--gpu", "cpu", "--model", "tiny", "--ctx", "32", "--weights", str(folder), "--spool", str(spool)]
    return subprocess.run(
        [sys.executable, "-m", "runner", "cell", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (hide, SMALL_CACHE)))},
    )


@pytest.mark.slow
def test_a_session_over_a_local_checkpoint_needs_no_accelerate_and_hides_its_path(folder, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(HIDING)
    finished = cell(folder, tmp_path / "spool", hide=str(tmp_path))
    assert finished.returncode == 0, finished.stderr
    (path,) = (tmp_path / "spool").glob("*.json")
    text = path.read_text()
    assert str(folder) not in text
    assert '"weights_id": "content-' in text


@pytest.mark.medium
def test_a_session_over_a_broken_checkpoint_ends_before_the_worker_starts(folder, tmp_path):
    edit(folder, lambda tensors: tensors.pop("lm_head.weight"))
    finished = cell(folder, tmp_path / "spool")
    assert finished.returncode == BadCheckpoint.exit_code
    assert finished.stderr == (
        f"error: weights={folder}: 1 tensor missing (lm_head.weight): use a complete checkpoint of this "
        "model in this quant (weights is synthetic, hub, a folder or env:NAME)\n"
    )


@pytest.mark.parametrize("name", catalogue.models())
def test_the_configuration_of_a_model_says_what_its_shape_says(name):
    shape = replace(catalogue.models()[name].shape, rms_norm_eps=3e-5, head_dim=48)  # none is left to a default
    config = model.config_of(shape)
    assert {
        "model_type": config.model_type,
        "layers": config.num_hidden_layers,
        "hidden": config.hidden_size,
        "heads": config.num_attention_heads,
        "kv_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "intermediate": config.intermediate_size,
        "vocab": config.vocab_size,
        "tied_embedding": config.tie_word_embeddings,
        "rms_norm_eps": config.rms_norm_eps,
        "max_positions": config.max_position_embeddings,
    }.items() <= shape.to_json().items()
    assert not getattr(config, "sliding_window", None)
    rope = config.rope_parameters if hasattr(config, "rope_parameters") else {"rope_theta": config.rope_theta}
    assert rope["rope_theta"] == shape.rope_theta
    if shape.rope_scaling and hasattr(config, "rope_parameters"):
        assert shape.rope_scaling.items() <= rope.items()


@pytest.mark.medium
def test_synthetic_weights_are_those_of_seed_0():
    """Their weights_id says no more than `synthetic-v1`: another seed would be other weights under that name."""
    first = torch.empty(TINY.vocab, TINY.hidden).normal_(generator=torch.Generator().manual_seed(0))
    built = model.build_synthetic(plain(TINY, torch.float32))
    assert torch.equal(built.model.embed_tokens.weight, first)
    again = model.build_synthetic(plain(TINY, torch.float32))
    assert all(torch.equal(*pair) for pair in zip(built.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("tied", [False, True])
def test_bytes_are_those_of_every_parameter_once(tied):
    shape = replace(TINY, tied_embedding=tied)
    built = model.build_synthetic(plain(shape))
    embeddings = (1 if tied else 2) * 512 * 128
    # a layer: q and o 128 · 128, k and v 64 · 128, three of 256 · 128; biases 128 + 64 + 64; two norms
    assert (TINY.q_width, TINY.kv_width, TINY.intermediate) == (128, 64, 256)
    layer = (2 * 128 + 2 * 64 + 3 * 256) * 128 + 256 + 2 * 128
    assert model.weight_bytes(built) == 2 * (embeddings + 2 * layer + 128)
    assert model.shape_of(built, TINY) == shape
