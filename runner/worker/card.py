"""Check of the GPU: torch must compute on the job's, and on no other."""

from __future__ import annotations

import torch

from runner.errors import GpuNotFound, Mismatch, MissingPackage
from runner.job import Device


def check(device: Device) -> None:
    """Checks the GPU; on a CPU there is nothing to check.

    Raises MissingPackage if torch was built without CUDA, GpuNotFound if torch sees no GPU (it was lost, or CUDA cannot
    use it), and Mismatch if torch sees another GPU or a MIG slice.
    """
    if device.uuid is None:
        return
    if torch.version.cuda is None:
        raise MissingPackage(
            f"torch {torch.__version__} here is built without CUDA: `make env STACK=modern` installs one with CUDA"
        )
    try:
        properties = torch.cuda.get_device_properties(0)
    except (RuntimeError, AssertionError) as error:
        message = (str(error).splitlines() or [type(error).__name__])[0]
        raise GpuNotFound(
            f"torch sees no GPU where NVML sees {device.name}: {message}; `nvidia-smi` shows whether the driver "
            f"supports CUDA {torch.version.cuda}, which this torch needs, and whether the card still answers"
        ) from error
    if f"GPU-{properties.uuid}".lower() != device.uuid.lower() or " MIG " in properties.name:
        raise Mismatch(
            f"the card {device.name} was requested, but torch computes on another one or a slice: {properties.name}. "
            "Give CUDA_VISIBLE_DEVICES the UUID of a whole card (`nvidia-smi -L`), or unset it"
        )
