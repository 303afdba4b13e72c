"""`exllamav2`: that package's own engine (model, cache, attention) on a GPTQ checkpoint, set up as in its examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.declarations import CAPTURE_WORKSPACE_BYTES, RuntimeDeclaration, Step
from runner.record.statedbound import StatedBound
from runner.runtimes import _sdpa

if TYPE_CHECKING:
    from runner.declarations import Tokens
    from runner.job import Job

DECLARATION = RuntimeDeclaration(
    name="exllamav2",
    devices=("cuda",),
    caches=("engine",),
    attentions=("engine",),
    quants=("gptq",),
    kernels=("exllamav2",),
    graph_mode="partial",  # it captures the kernels before and after attention, and each MLP
    prefill_chunk_tokens=2048,
    options={_sdpa.OPTION: _sdpa.BACKENDS},
    # torch's nearest to flash-attn, if that is missing: cuDNN, torch's own choice, makes a new plan at every length
    defaults={_sdpa.OPTION: "flash"},
    owns_model=True,
    workspace_bytes=CAPTURE_WORKSPACE_BYTES,  # its scratch buffer comes on top: see its settings
    bounds={"fp16": StatedBound(6.828, 0.032, evidence="committed sessions of Qwen2.5-7B and Mistral-7B", noise=0.04)},
    package="exllamav2",
    module="exllamav2",
    remedy="pip install --no-build-isolation exllamav2==0.3.2, where nvcc is",
)


def build(model: Any, tokens: Tokens, job: Job) -> Step:
    """Returns the engine's step over the job's checkpoint, or over one written from the model's synthetic weights.

    The model's weights are released before the engine loads its own.
    """
    from runner.runtimes import _exllamav2engine

    return _exllamav2engine.build(model, tokens, job)
