"""`python -m tests.support.hungstep NAME`: runs steps with a planted hang, and prints what the kernel left to say.

A process of its own, because the CUDA context is lost afterwards.
"""

from __future__ import annotations

import faulthandler
import json
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch

from runner.fused import compiled
from tests.support.fusedshapes import odd
from tests.support.fusedsteps import fused_step
from tests.support.kernelpatches import HANGS, patched

SHAPE = "group-7"  # a block has more copies than slots
LIMIT_NS = 200_000_000  # processes share the GPU in turns
START = 20
STUCK_S = 90
"""Time after which the process ends with the place where Python waits: the kernel itself ends in less than a second."""


def run(name: str) -> dict[str, str | None]:
    """Returns the error that torch raised in the step, and the place where a warp waited."""
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        sources = patched(HANGS[name], Path(folder) / "cuda")
        more = {"WAIT_LIMIT_NS": f"{LIMIT_NS}ull"}
        step = fused_step(odd()[SHAPE], partial(compiled.compile_step, more=more, sources=sources), START + 8)
        step.restart(START)
        torch.cuda.synchronize()
        try:
            step().item()
        except RuntimeError as error:
            return {"error": type(error).__name__, "said": str(error).partition("\n")[0], "stuck": step.stuck()}
    return {"error": None, "said": None, "stuck": step.stuck()}


if __name__ == "__main__":
    faulthandler.dump_traceback_later(STUCK_S, exit=True)
    print(json.dumps(run(sys.argv[1])), flush=True)
