"""Fixtures of the worker's tests: torch's settings as before, jobs of cells on this machine's GPU, a log of calls."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from runner import registry
from runner.cell import catalogue
from runner.cell.scheme import Scheme
from runner.job import Device, Job
from runner.machine import host, nvml
from runner.plan import cards
from runner.worker import probes


@pytest.fixture(autouse=True)
def _all_attention_backends() -> Iterator[None]:
    yield
    torch.backends.cuda.enable_flash_sdp(True)
    torch.backends.cuda.enable_mem_efficient_sdp(True)
    torch.backends.cuda.enable_cudnn_sdp(True)
    torch.backends.cuda.enable_math_sdp(True)


@pytest.fixture(autouse=True)
def _no_workspaces_of_earlier_sessions() -> None:
    """A session is a process of its own; here a compiler would free what earlier tests left."""
    if torch.cuda.is_initialized():
        torch._C._cuda_clearCublasWorkspaces()


@pytest.fixture
def inference() -> Iterator[None]:
    """Torch keeps nothing for gradients while the test runs."""
    with torch.inference_mode():
        yield


@pytest.fixture
def quick_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bandwidth probe is over at once, as with tests/small_cache: it takes longer than the rest of the session."""
    monkeypatch.setattr(probes, "WARM_UP_S", 0.0)
    monkeypatch.setattr(host, "last_level_cache_bytes", lambda: 2 * 2**20)


@pytest.fixture
def gpu_job(tiny_job: Job) -> Job:
    """The job of an unquantised cell of the tiny model at ctx 2048 on this machine's GPU."""
    here = nvml.list_gpus()[0]
    entry, key = catalogue.gpu_for(here.name), cards.gpu_key(here)
    bandwidth = entry.bandwidth_gbs.value if entry else None
    device = Device("cuda", here.uuid, key, here.name, bandwidth, entry is not None, here.driver)
    Path(tiny_job.record_path).parent.mkdir()
    cell = replace(tiny_job.cell, gpu=key, kernel="cublas", ctx=2048)
    return replace(tiny_job, cell=cell, device=device, request={**tiny_job.request, "gpu": key, "ctx": "2048"})


@pytest.fixture
def packed_job(gpu_job: Job) -> Callable[..., Job]:
    """A function that makes the job of a quantised cell there, at ctx 64."""

    def make(quant: str, kernel: str, scheme: Scheme, runtime: str, **cell: Any) -> Job:
        dtype = registry.kernel(kernel).DECLARATION.dtypes[0]
        words = {"cache": "static", "ctx": 64, "dtype": dtype, **cell}
        asked = replace(gpu_job.cell, quant=quant, kernel=kernel, runtime=runtime, **words)
        request = {**gpu_job.request, "quant": quant, "ctx": str(asked.ctx)}
        return replace(gpu_job, cell=asked, scheme=scheme, request=request)

    return make


@pytest.fixture
def engine_job(packed_job: Callable[..., Job]) -> Job:
    """The job of the exllamav2 engine there, where that package is."""
    if importlib.util.find_spec("exllamav2") is None:
        pytest.skip("hardware: needs a GPU host with exllamav2")
    words = {"cache": "engine", "attention": "engine", "options": {"sym": "true", "sdpa": "flash"}}
    return packed_job("gptq", "exllamav2", Scheme(128, sym=True), "exllamav2", **words)


@pytest.fixture
def log() -> list[Any]:
    """A list in which pretended parts note their calls."""
    return []
