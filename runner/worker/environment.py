"""Versions and settings that a number depends on, and the env_key that stands for them."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

import torch

from runner import host
from runner.cell import short_hash
from runner.worker.job import Job

KEY_LENGTH = 12


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions(job: Job) -> dict[str, str | None]:
    """What env_key is made of. The kernel's package is torch itself for the kernels that live in it."""
    driver = job.device.driver
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "transformers": _version("transformers"),
        "triton": _version("triton"),
        "kernel_package": None,
        "driver_major": driver.split(".")[0] if driver else None,
    }


def env_key(job: Job) -> str:
    """Hash of `versions`."""
    return short_hash(versions(job), KEY_LENGTH)


def environment(job: Job) -> dict[str, Any]:
    """Versions, and the settings under which the step ran."""
    return {
        **versions(job),
        "driver": job.device.driver,
        "accelerate": _version("accelerate"),
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "synchronise": "auto" if job.device.kind == "cuda" else None,
        "matmul_tf32": torch.backends.cuda.matmul.allow_tf32,
        "garbage_collector": "off in windows",
    }


def host_facts() -> dict[str, Any]:
    """The host, without anything that names it."""
    return {
        "cpu": host.cpu_name(),
        "cores": host.cores(),
        "memory_bytes": host.memory_bytes(),
        "os": host.operating_system(),
    }
