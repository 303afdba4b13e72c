"""torch's errors as errors of the family, where their cause is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from runner.declarations import Step
from runner.errors import Mismatch, OutOfMemory, WorkerFailed

NEED_LESS = "choose a smaller model, ctx or quant, or end other programs that use this memory"
CPU_ALLOCATOR = "can't allocate memory"
"""Part of the RuntimeError that torch's CPU allocator raises."""
ANY_BACKEND = "choose another in options=sdpa:…, or leave that option out"
NO_BACKEND = (
    "No viable backend for scaled_dot_product_attention",
    "No available kernel",
    "Invalid backend",
)


@contextmanager
def translated() -> Iterator[None]:
    """Raises OutOfMemory if memory runs out, and Mismatch if no attention backend supports the call."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        line = str(error).partition("\n")[0]
        if is_out_of_memory(error):
            raise OutOfMemory(f"out of memory: {line or 'host memory'}; {NEED_LESS}") from error
        if any(text in line for text in NO_BACKEND):
            raise Mismatch(f"no attention backend that this cell allows can run here: {line}; {ANY_BACKEND}") from error
        raise


@contextmanager
def explained_by(step: Step) -> Iterator[None]:
    """Raises WorkerFailed with what a kernel of the step waited for, if that is why the device failed.

    CUDA's own error, raised by whatever waits for the device next, does not say it.
    """
    try:
        yield
    except RuntimeError as error:
        line = step.stuck()
        if line is None:
            raise
        raise WorkerFailed(line) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error says that the memory of the host or of the device is exhausted."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or CPU_ALLOCATOR in str(error)
