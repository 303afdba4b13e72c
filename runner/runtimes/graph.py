"""`graph`: the whole eager step (model, choice of the next token, advance of the position) in one CUDA graph."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runner.cell.floors import GATE_SHORT_CTX
from runner.declarations import CAPTURE_WORKSPACE_BYTES
from runner.runtimes import eager

if TYPE_CHECKING:
    import torch

    from runner.declarations import Tokens
    from runner.job import Job

CAPTURE_WARMUP = 3  # libraries choose algorithms and allocate workspaces in the first calls
DECLARATION = replace(
    eager.DECLARATION,
    name="graph",
    devices=("cuda",),
    caches=("static",),
    graph_mode="whole-step",
    made_of_eager=True,
    replays_eager=True,
    workspace_bytes=CAPTURE_WORKSPACE_BYTES,
)


class GraphStep(eager.StepOverEager):
    """Step (`runner.declarations.Step`) that replays the captured eager step. Both share their buffers."""

    runtime = "graph"

    def __init__(self, step: eager.EagerStep) -> None:
        super().__init__(step)
        self.graph, self.logits = capture(step)

    def __call__(self) -> torch.Tensor:
        self.graph.replay()
        return self._chosen


def capture(step: eager.EagerStep) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
    """Returns one step as a CUDA graph, and the logits [vocab] that each replay overwrites.

    The cache must have been filled once, because it allocates its memory then. Capturing runs nothing: cache and
    position stay as the warm-up left them.
    """
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(CAPTURE_WARMUP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        logits = step.decode_one_token()
    return graph, logits


def build(model: Any, tokens: Tokens, job: Job) -> GraphStep:
    """Returns the eager step of this job's cell, captured at a short context. Its replay serves every position."""
    step = eager.build(model, tokens, job)
    step.prefill(GATE_SHORT_CTX)
    return GraphStep(step)
