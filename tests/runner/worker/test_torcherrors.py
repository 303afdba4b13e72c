from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from runner.errors import Mismatch, OutOfMemory, WorkerFailed
from runner.worker import torcherrors


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried\nmore"),
            OutOfMemory,
            "out of memory: CUDA out of memory. Tried",
        ),
        (MemoryError(), OutOfMemory, "out of memory: host memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            OutOfMemory,
            "out of memory",
        ),
        (
            RuntimeError("No available kernel. Aborting execution."),
            Mismatch,
            "no attention backend that this cell allows",
        ),
        (RuntimeError("Invalid backend"), Mismatch, "no attention backend that this cell allows"),
        (RuntimeError("something else"), RuntimeError, "something else"),
    ],
)
def test_what_torch_raises_is_an_error_of_the_family_where_it_is_known(raised, kind, said):
    with pytest.raises(kind) as caught, torcherrors.translated():
        raise raised
    assert type(caught.value) is kind
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_fault_in_a_file_is_not_memory_that_ran_out():
    assert not torcherrors.is_out_of_memory(RuntimeError("size mismatch"))


def test_a_step_that_hung_says_where_instead_of_cuda():
    hung = SimpleNamespace(stuck=lambda: "the fused step waited too long for activations")
    with pytest.raises(WorkerFailed, match=r"^the fused step waited too long for"), torcherrors.explained_by(hung):
        raise torch.AcceleratorError("CUDA error: unspecified launch failure\nmore")


def test_an_error_of_a_step_that_did_not_hang_stays_itself():
    right = SimpleNamespace(stuck=lambda: None)
    with pytest.raises(RuntimeError, match="something else"), torcherrors.explained_by(right):
        raise RuntimeError("something else")
