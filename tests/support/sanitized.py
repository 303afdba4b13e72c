"""`compute-sanitizer --tool TOOL python -m tests.support.sanitized [SHAPE]`: a few steps of the fused kernel.

Under a sanitizer a step takes seconds: warps wait for each other as long as it needs.
"""

from __future__ import annotations

import sys
from functools import partial

import torch

from runner.fused import compiled
from runner.runtimes._fusedstep import FusedStep
from tests.support.fusedshapes import everything
from tests.support.fusedsteps import drive, eager_step

START, STEPS = 20, 2
LIMIT_NS = 600_000_000_000


def main(name: str = "tiny") -> int:
    """Returns 0 if the steps left finite logits."""
    with torch.inference_mode():
        more = {"WAIT_LIMIT_NS": f"{LIMIT_NS}ull"}
        shape = everything()[name]
        eager = eager_step(shape, START + STEPS)
        for layer in eager.cache.rows.layers:  # a prefill would run torch's kernels, in which racecheck finds hazards
            layer.keys.normal_()
            layer.values.normal_()
        step = FusedStep(eager, shape, partial(compiled.compile_step, more=more))
        logits, tokens = drive(step, START, STEPS)
    print(f"{name}: {STEPS} steps chose {tokens.tolist()}")
    return 0 if logits.isfinite().all() else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
