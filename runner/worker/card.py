"""The card that torch computes on: nothing is measured on another one than the job names."""

from __future__ import annotations

import torch

from runner.errors import GpuNotFound, Mismatch, MissingPackage
from runner.job import Device


def check(device: Device) -> None:
    """Nothing for the CPU. Raises MissingPackage where this torch was built without CUDA, GpuNotFound where it sees no
    GPU (the card was lost, or CUDA cannot use it), Mismatch where it sees another one or a slice of one."""
    if device.uuid is None:
        return
    if torch.version.cuda is None:
        raise MissingPackage(f"torch {torch.__version__} here has no CUDA: `make env STACK=modern` makes one that has")
    try:
        seen = torch.cuda.get_device_properties(0)
    except (RuntimeError, AssertionError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise GpuNotFound(f"torch sees no GPU where NVML sees {device.name}: {said}") from error
    if f"GPU-{seen.uuid}".lower() != device.uuid.lower() or " MIG " in seen.name:
        raise Mismatch(
            f"the card {device.name} was asked for, but torch computes on another one or a slice: {seen.name}"
        )
