"""What the gate's two teacher-forced checks say of a step."""

from __future__ import annotations

import torch

from runner import floors
from runner.registry import Step
from runner.worker import gate


def worst_errors(step: Step, ctx: int, expectation: gate.Expectation) -> dict[str, float]:
    """The worst error at the short context and at ctx."""
    step.prefill(floors.GATE_SHORT_CTX)
    short = gate.drive("short", step, floors.GATE_SHORT_CTX, expectation)
    step.prefill(ctx)
    own = gate.drive("ctx", step, ctx, expectation)
    return {"short": max(short.errors), "ctx_error": max(own.errors)}


def run_to_run(step: Step, ctx: int) -> float:
    """The largest difference between two runs over the same positions from ctx, relative to the logits: zero for
    arithmetic in a fixed order."""
    runs = []
    for _ in range(2):
        step.restart(ctx)
        logits = []
        for _ in range(floors.GATE_STEPS):
            step()
            logits.append(step.logits.double().clone())
        runs.append(torch.stack(logits))
    first, second = runs
    return float(((first - second).norm(dim=-1) / first.norm(dim=-1)).max())
