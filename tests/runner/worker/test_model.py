"""Real checkpoints: written by transformers, loaded whole or refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from runner import catalogue
from runner.errors import BadCheckpoint
from runner.worker import model

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    built = model.build_synthetic(catalogue.models()["tiny"].shape, torch.bfloat16, CPU)
    built.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def without(folder, name):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors[name]
    save_file(tensors, path, metadata={"format": "pt"})


def test_a_checkpoint_comes_back_bit_for_bit(folder):
    loaded = dict(model.load_checkpoint(folder, torch.bfloat16, CPU).named_parameters())
    saved = load_file(folder / "model.safetensors")
    assert loaded.keys() == saved.keys()
    assert all(torch.equal(loaded[name], saved[name]) for name in saved)


@pytest.mark.parametrize("name", ["model.layers.1.mlp.up_proj.weight", "model.layers.0.self_attn.q_proj.bias"])
def test_a_missing_tensor_is_refused_by_name(folder, name):
    without(folder, name)
    with pytest.raises(BadCheckpoint, match=name.replace(".", r"\.")):
        model.load_checkpoint(folder, torch.bfloat16, CPU)


def cell(folder, spool):
    options = ["--gpu", "cpu", "--model", "tiny", "--ctx", "32", "--weights", str(folder), "--spool", str(spool)]
    return subprocess.run(
        [sys.executable, "-m", "runner", "cell", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_a_session_over_a_local_checkpoint_hides_its_path(folder, tmp_path):
    finished = cell(folder, tmp_path / "spool")
    assert finished.returncode == 0, finished.stderr
    (path,) = (tmp_path / "spool").glob("*.json")
    text = path.read_text()
    assert str(folder) not in text
    assert '"weights_id": "headers-' in text


def test_a_session_over_a_broken_checkpoint_is_one_line_and_its_code(folder, tmp_path):
    without(folder, "lm_head.weight")
    finished = cell(folder, tmp_path / "spool")
    assert finished.returncode == BadCheckpoint.exit_code
    assert [line for line in finished.stderr.splitlines() if line.startswith("error: ")] != []
    assert "Traceback" not in finished.stderr
