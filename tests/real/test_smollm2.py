"""`make test-real`: a real small checkpoint, a tied Llama of 30 layers, is measured by the command on this CPU."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from runner.cell import catalogue
from runner.runtimes.eager import EagerStep
from runner.worker import caches, model
from runner.worker.tokens import Tokens
from tests.support.processes import SMALL_CACHE

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "build" / "real" / "packages"
MODEL, CTX = "smollm2-135m", 64
PROMPT, NEW_TOKENS = "The capital of France is", 12
# 49152 · 576 embedding, 30 layers of q and o 576 · 576, k and v 192 · 576, three 1536 · 576, and 61 norms of 576
LAYER_LINEARS = (576 * 576, 192 * 576, 192 * 576, 576 * 576, *(3 * (1536 * 576,)))
OTHERS = 49152 * 576 + 61 * 576
PARAMETERS = OTHERS + 30 * sum(LAYER_LINEARS)
KV_VALUES = 2 * 30 * 3 * 64 * CTX


def nf4_bytes(values: int) -> int:
    """Codes of four bits, a byte of magnitude for 64 of them, a float32 for 256 of those, two tables and an offset."""
    blocks = values // 64
    return values // 2 + blocks + 4 * -(-blocks // 256) + 4 * (16 + 256 + 1)


CASES = {
    "bf16": ("bf16", ("--dtype", "bf16"), 2 * PARAMETERS, 2, []),
    "fp32": ("bf16", ("--dtype", "fp32"), 4 * PARAMETERS, 4, ["converted"]),
    "bnb-nf4": ("nf4", ("--quant", "bnb-nf4"), 2 * OTHERS + 30 * sum(map(nf4_bytes, LAYER_LINEARS)), 2, []),
}


@pytest.fixture(scope="session")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue as someone has it who measures a model of their own."""
    folder = tmp_path_factory.mktemp("experiments")
    shutil.copy(ROOT / "experiments" / "gpus.yaml", folder)
    shutil.copy(Path(__file__).with_name("models.yaml"), folder)
    return folder


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert PACKAGES.is_dir(), "make test-real fetches the packages that this test needs"
    folder = tmp_path_factory.mktemp("checkpoints")
    finished = run(["tests.real.smollm2", str(folder)], PYTHONPATH=os.pathsep.join((str(ROOT), str(PACKAGES))))
    assert finished.returncode == 0, finished.stderr[-2000:]
    return folder


def run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": SMALL_CACHE, **variables},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def test_it_says_what_transformers_says_and_knows_its_capital(checkpoints: Path, experiments: Path) -> None:
    """Rows of q and k in a wrong order, or a head that is not the embedding, would say something else."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoints / "bf16")
    prompt = tokenizer(PROMPT, return_tensors="pt").input_ids
    with torch.inference_mode():
        theirs = AutoModelForCausalLM.from_pretrained(checkpoints / "bf16", dtype=torch.float32)
        said = theirs.generate(prompt, max_new_tokens=NEW_TOKENS, do_sample=False)[0]
        ours = greedy(load(checkpoints / "bf16", experiments), prompt[0])
    assert ours == said.tolist()
    assert tokenizer.decode(ours).startswith(f"{PROMPT} Paris")


def load(folder: Path, experiments: Path) -> Any:
    shape = catalogue._models(experiments / "models.yaml")[MODEL].shape
    return model.load_checkpoint(folder, model.Build(shape, "bf16", None, torch.float32, torch.device("cpu")))


def greedy(loaded: Any, prompt: torch.Tensor) -> list[int]:
    """Prompt and what the step chooses after it, each choice fed back."""
    unforced = Tokens(prompt, torch.zeros(1, dtype=torch.bool))
    step = EagerStep(loaded, caches.make("static", loaded, 64), unforced)
    chosen = [int(step.prefill(len(prompt)))]
    unforced = Tokens(torch.zeros(64, dtype=prompt.dtype), unforced.forced)  # what is forced is also looked up
    step.tokens = unforced
    while len(chosen) < NEW_TOKENS:
        chosen.append(int(step()))
    return [*prompt.tolist(), *chosen]


@pytest.mark.parametrize("case", CASES)
def test_a_session_is_valid_and_its_bytes_are_those_of_a_tied_model(
    case: str, checkpoints: Path, experiments: Path, tmp_path: Path
) -> None:
    folder, options, weights, dtype_bytes, flags = CASES[case]
    where = (
        "--model",
        MODEL,
        "--ctx",
        str(CTX),
        "--cache",
        "static",
        "--weights",
        str(checkpoints / folder),
        "--spool",
        str(tmp_path),
    )
    catalogue_of = {"DECODE_FLOOR_EXPERIMENTS": str(experiments)}
    finished = run(["runner", "cell", "--gpu", "cpu", *where, *options], **catalogue_of)
    assert finished.returncode == 0, finished.stderr[-2000:]
    (path,) = tmp_path.glob("*.json")
    found = json.loads(path.read_text())
    assert found["valid"], found["reasons"]
    assert set(flags) <= set(found["flags"])
    assert found["cell"]["weights_id"].startswith("content-")
    counted = found["bytes"]
    assert (counted["weights"], counted["weights_measured"], counted["embedding"]) == (weights, weights, 0)
    assert counted["streamed"] == counted["paper"] == weights + KV_VALUES * dtype_bytes  # E is 0: the head reads it all
    assert str(checkpoints) not in path.read_text()
    verified = run(["runner", "verify", str(tmp_path)], **catalogue_of)
    assert (verified.returncode, verified.stdout) == (0, "ok 1 record\n")
