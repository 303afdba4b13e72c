"""Two probes of the machine: launch overhead, and memory bandwidth of reads."""

from __future__ import annotations

import time

import torch

from runner.cell import floors
from runner.machine import host

WARM_UP_S = 0.5  # of reads before the first sample: an idle GPU's clocks take this long to rise
LAUNCHES = 1000
REPEATS = 5


def last_level_cache_bytes(device: torch.device) -> int | None:
    """Returns the size of the last cache before memory: L2 of a GPU, the last level of a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    return host.last_level_cache_bytes()


def launch_samples_us(device: torch.device) -> list[float]:
    """Returns microseconds of host time per null launch, for five batches of a thousand; empty on a CPU."""
    if device.type != "cuda":
        return []
    return [_launch_batch_us(device) for _ in range(REPEATS)]


def _launch_batch_us(device: torch.device) -> float:
    torch.cuda.synchronize(device)
    started = time.perf_counter_ns()
    for _ in range(LAUNCHES):
        torch.cuda._sleep(0)
    elapsed = time.perf_counter_ns() - started
    torch.cuda.synchronize(device)
    return round(elapsed / LAUNCHES / 1e3, 3)


def read_bytes(device: torch.device) -> int:
    """Returns the bytes that the read probe reads."""
    on_gpu = device.type == "cuda"
    memory = torch.cuda.get_device_properties(device).total_memory if on_gpu else 0
    return floors.read_probe_bytes(device.type, last_level_cache_bytes(device), memory)


def read_samples_gbs(device: torch.device, size: int) -> list[float]:
    """Returns GB/s of five read-only reductions over `size` bytes. The best is the achieved bandwidth."""
    buffer = torch.ones(size // 4, dtype=torch.float32, device=device)
    began = time.perf_counter()
    while time.perf_counter() - began < WARM_UP_S:
        buffer.sum().item()
    return [_read_gbs(buffer) for _ in range(REPEATS)]


def _read_gbs(buffer: torch.Tensor) -> float:
    if buffer.is_cuda:
        before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        before.record()
        buffer.sum()
        after.record()
        torch.cuda.synchronize(buffer.device)
        seconds = before.elapsed_time(after) / 1e3
    else:
        started = time.perf_counter_ns()
        buffer.sum()
        seconds = (time.perf_counter_ns() - started) / 1e9
    return float(round(buffer.nbytes / seconds / 1e9, 3))
