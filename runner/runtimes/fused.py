"""`fused`: the whole step in one persistent kernel, compiled for the model and the card when the session starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.cell.shape import ModelShape
from runner.declarations import RuntimeDeclaration
from runner.kernels import fused
from runner.runtimes import eager

if TYPE_CHECKING:
    from runner.declarations import Step, Tokens
    from runner.job import Job


def _one_launch(_shape: ModelShape) -> int:
    return 1


DECLARATION = RuntimeDeclaration(
    name="fused",
    devices=("cuda",),
    caches=("static",),
    attentions=("engine",),
    quants=("bf16",),
    kernels=("fused",),
    graph_mode="none",
    prefill_chunk_tokens=1536,  # 2048 need more than 0.5 GB beside weights and cache at ctx 16384
    made_of_eager=True,
    compiles=True,
    workspace_bytes=2**26,  # packets between blocks, and the angles of all positions
    products=_one_launch,
    kernels_per_step=1,
    package=fused.DECLARATION.package,
    module=fused.DECLARATION.module,
    remedy=fused.DECLARATION.remedy,
    companions=("cuda-bindings", "nvidia-cuda-nvrtc"),
)


def build(model: Any, tokens: Tokens, job: Job) -> Step:
    """Returns the fused step over the model's own tensors and a static cache, which the eager step fills."""
    from runner.runtimes import _fusedstep

    filled_by = eager.build(model, tokens, job, DECLARATION.prefill_chunk_tokens)
    return _fusedstep.FusedStep(filled_by, job.shape)
