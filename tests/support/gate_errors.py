"""What the gate's two teacher-forced checks say of a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from runner.cell import floors
from runner.declarations import Step
from runner.record import gaterules
from runner.worker import gate
from tests.support.derive import gate_of

UNTIMED = {"timed_trusted": [0.0], "tokens": [], "rows": []}
"""What a gate has of timed steps where none was timed."""


def checked(step: Step, ctx: int, expectation: gate.Expectation, bounds: Mapping[str, float]) -> dict[str, Any]:
    """Worst error and ratio at the short context and at ctx, and whether a cell of these bounds is rejected by them."""
    step.prefill(floors.GATE_SHORT_CTX)
    short = gate.drive("short", step, floors.GATE_SHORT_CTX, expectation)
    step.prefill(ctx)
    own = gate.drive("ctx", step, ctx, expectation)
    section = {**UNTIMED, **bounds, "checks": [asdict(short), asdict(own)], "trusted_error": max(expectation.trusted)}
    return {
        "short": max(short.errors),
        "ctx_error": max(own.errors),
        "short_ratio": gaterules.ratio(short.errors, short.trusted),
        "ctx_ratio": gaterules.ratio(own.errors, own.trusted),
        "rejected": any(gaterules.error_reasons(gate_of(section))),
    }


def bound(limits: Mapping[str, float], trusted_error: float) -> float:
    """The gate's bound of a single error where trusted eager's is `trusted_error`."""
    return min(gaterules.limit(limits["stated_ratio"], limits["stated_spread"], 1) * trusted_error, limits["cap"])


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
