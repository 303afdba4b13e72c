"""Fused steps on the GPU over synthetic models, and what spoils the memory that they must not depend on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import torch

from runner.cell.shape import ModelShape
from runner.declarations import Step
from runner.fused import compiled, launch
from runner.fused.geometry import Card
from runner.fused.launch import checked
from runner.runtimes import _fusedstep
from runner.runtimes._fusedstep import CompileStep, FusedStep, architecture
from runner.runtimes.eager import EagerStep
from runner.worker import caches, model, tokens
from tests.support.fusedshapes import ARCHITECTURES

CP_ASYNC = {"CP_ASYNC": "1"}
"""The constant with which `compile_step` copies as before sm_90."""
OLDER_SHARED_BYTES = ARCHITECTURES["sm_86"].shared_bytes
SPOIL = """
extern "C" __global__ void spoil() {
  extern __shared__ unsigned shared[];
  for (int i = threadIdx.x; i < WORDS; i += blockDim.x) ((volatile unsigned*)shared)[i] = ~0u;
}
"""


def eager_step(shape: ModelShape, positions: int) -> EagerStep:
    """Returns a step over a synthetic model. It has `positions` tokens, and as many rows of a static cache."""
    device = torch.device("cuda", 0)
    module = model.build_synthetic(model.Build(shape, "bf16", None, torch.bfloat16, device))
    drawn = tokens.draw(shape.vocab, positions, 1, device)
    return EagerStep(module, caches.make("static", module, positions), drawn)


def fused_step(shape: ModelShape, compile_step: CompileStep, positions: int) -> FusedStep:
    return FusedStep(eager_step(shape, positions), shape, compile_step)


@contextmanager
def older_form(sources: Path = compiled.SOURCES) -> Iterator[CompileStep]:
    """Yields a compilation of the form of older cards: copies by cp.async. Meanwhile a ring has to fit their 99 KB."""

    def limited(device: torch.device) -> Card:
        return replace(launch.card_of(device), shared_bytes=OLDER_SHARED_BYTES)

    with mock.patch.object(_fusedstep, "card_of", limited):
        yield partial(compiled.compile_step, more=CP_ASYNC, sources=sources)


def drive(step: Step, start: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the logits [count, vocab] that steps from `start` leave, and the tokens [count] that they choose."""
    step.restart(start)
    logits, chosen = [], []
    for _ in range(count):
        chosen.append(step().clone())
        logits.append(step.logits.clone())
    torch.cuda.synchronize()
    return torch.stack(logits), torch.cat(chosen)


def spoil_exchanges(step: FusedStep) -> None:
    """Overwrites what blocks have sent each other with NaN, of an epoch that no early step has."""
    for name in launch.exchange_packets(step.launch.geometry):
        step.launch.buffers[name].fill_(-1)


def spoil_shared_memory(step: FusedStep) -> None:
    """Overwrites the shared memory of every multiprocessor with NaN, as another kernel might leave it."""
    from cuda.bindings import driver
    from cuda.core import Program, ProgramOptions

    device = step.logits.device
    card = launch.card_of(device)
    options = ProgramOptions(arch=architecture(device), define_macro=[("WORDS", str(card.shared_bytes // 4))])
    module = Program(SPOIL, "c++", options).compile("cubin")
    function = checked(driver.cuKernelGetFunction(module.get_kernel("spoil").handle))
    largest = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    checked(driver.cuFuncSetAttribute(function, largest, card.shared_bytes))
    stream = torch.cuda.current_stream(device).cuda_stream
    grid, block = (4 * card.multiprocessors, 1, 1), (256, 1, 1)
    checked(driver.cuLaunchKernel(function, *grid, *block, card.shared_bytes, stream, 0, 0))
    torch.cuda.synchronize()
