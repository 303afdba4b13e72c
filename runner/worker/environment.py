"""Versions and settings that a measurement depends on."""

from __future__ import annotations

import ctypes
from typing import Any

import torch

from runner.job import Job
from runner.machine import host
from runner.machine import versions as installed
from runner.record.sections.surroundings import Environment, Host
from runner.redaction.redact import redact

SYNCHRONISE = {0: "auto", 1: "spin", 2: "yield", 4: "blocking"}  # CUctx_flags of the CUDA driver API
SYNCHRONISE_MASK = 7


def versions(job: Job) -> dict[str, str | None]:
    """Returns the versions that `record.env_key` hashes."""
    # torch's version is a subclass of str
    return installed.of_session(job.cell, job.device.driver, str(torch.__version__), torch.version.cuda)


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
    stated: dict[str, Any] = versions(job)
    return Environment(
        **stated,
        driver=job.device.driver,
        accelerate=installed.of_package("accelerate"),
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
