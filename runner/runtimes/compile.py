"""`compile`: the whole eager step through torch.compile, in one graph without breaks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runner.cell.floors import GATE_SHORT_CTX
from runner.declarations import CAPTURE_WORKSPACE_BYTES, MODE
from runner.runtimes import eager

if TYPE_CHECKING:
    import torch

    from runner.declarations import Tokens
    from runner.job import Job

GRAPH_MODES = {"default": "none", "reduce-overhead": "whole-step"}
CALLS_UNTIL_STEADY = 4  # compile, run in the graph's memory, record the graph, replay it
DECLARATION = replace(
    eager.DECLARATION,
    name="compile",
    devices=("cuda",),
    caches=("static",),
    quants=("bf16",),  # untested with the packages' own operators
    options={**eager.DECLARATION.options, MODE: tuple(GRAPH_MODES), "compile-cache": ("warm",)},
    defaults={MODE: "reduce-overhead"},
    graph_modes=GRAPH_MODES,
    made_of_eager=True,
    compiles=True,
    workspace_bytes=CAPTURE_WORKSPACE_BYTES,
)


class CompiledStep(eager.StepOverEager):
    """Step (`runner.declarations.Step`) that runs the compiled eager step. Both share their buffers."""

    runtime = "compile"

    def __init__(self, step: eager.EagerStep, mode: str) -> None:
        import torch
        from torch._inductor.async_compile import shutdown_compile_workers

        super().__init__(step)
        for buffer in (step.position, step.chosen, step.tokens.sequence, step.tokens.forced):
            torch._dynamo.mark_static_address(buffer)  # else inductor's graph copies it at every replay
        self._compiled = torch.compile(step.decode_one_token, fullgraph=True, dynamic=False, mode=mode)
        for _ in range(CALLS_UNTIL_STEADY):
            self()
        shutdown_compile_workers()

    def __call__(self) -> torch.Tensor:
        self.logits: torch.Tensor = self._compiled()
        return self._chosen


def build(model: Any, tokens: Tokens, job: Job) -> CompiledStep:
    """Returns the eager step of this job's cell, compiled at a short context."""
    step = eager.build(model, tokens, job)
    step.prefill(GATE_SHORT_CTX)
    return CompiledStep(step, job.cell.options[MODE])
