"""Versions and settings that a measurement depends on."""

from __future__ import annotations

import ctypes
import importlib.metadata
import platform
from typing import Any

import torch

from runner import registry
from runner.cell.cell import Cell
from runner.job import Job
from runner.machine import host
from runner.record.sections.surroundings import Environment, Host
from runner.redaction.redact import redact

SYNCHRONISE = {0: "auto", 1: "spin", 2: "yield", 4: "blocking"}  # CUctx_flags of the CUDA driver API
SYNCHRONISE_MASK = 7


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions(job: Job) -> dict[str, Any]:
    """Returns the versions that `record.env_key` hashes."""
    driver = job.device.driver
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # a subclass of str
        "cuda": torch.version.cuda,
        "transformers": _version("transformers"),
        "triton": _version("triton"),
        "kernel_package": _package_versions(job.cell),
        "driver_major": driver.split(".")[0] if driver else None,
    }


def _package_versions(cell: Cell) -> str | None:
    """Returns the versions of the packages of the cell's kernel and runtime; None if both are torch's."""
    kernel, runtime = registry.kernel(cell.kernel).DECLARATION, registry.runtime(cell.runtime).DECLARATION
    names = (kernel.package, runtime.package, *runtime.companions)
    packages = dict.fromkeys(name for name in names if name is not None)
    return "+".join(filter(None, map(_version, packages))) or None


def synchronise_mode() -> str | None:
    """Returns how the host waits for the GPU: a flag of this process's CUDA context; None without a context."""
    if not torch.cuda.is_initialized():
        return None
    flags, active = ctypes.c_uint(), ctypes.c_int()
    driver = ctypes.CDLL("libcuda.so.1")
    if driver.cuDevicePrimaryCtxGetState(torch.cuda.current_device(), ctypes.byref(flags), ctypes.byref(active)):
        return None
    return SYNCHRONISE.get(flags.value & SYNCHRONISE_MASK, "unknown")


def environment(job: Job, compile_cache_files: int) -> Environment:
    """Returns versions, and the settings under which the step ran.

    `compile_cache_files` is the number of files in torch.compile's cache at the start of the session.
    """
    return Environment(
        **versions(job),
        driver=job.device.driver,
        accelerate=_version("accelerate"),
        threads=torch.get_num_threads(),
        interop_threads=torch.get_num_interop_threads(),
        synchronise=synchronise_mode(),
        matmul_tf32=torch.backends.cuda.matmul.allow_tf32,
        compile_cache_files=compile_cache_files,
    )


def host_facts() -> Host:
    """Returns CPU, cores, memory and operating system of the host, without its name."""
    return Host(
        cpu=host.cpu_name(),
        cores=host.cores(),
        memory_bytes=host.memory_bytes(),
        os=redact(host.operating_system()),  # a self-built kernel may be named after its machine
    )
