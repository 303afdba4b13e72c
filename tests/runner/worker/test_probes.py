"""The probes on a CPU: sizes, and a bandwidth that follows from bytes and time."""

import time

import torch

from runner.worker import probes

CPU = torch.device("cpu")


def test_it_reads_at_least_sixteen_caches(monkeypatch):
    monkeypatch.setattr(probes, "last_level_cache_bytes", lambda _device: 32 * 2**20)
    assert probes.read_bytes(CPU) == 512 * 2**20  # 16 x 32 MiB


def test_a_cache_of_unknown_size_is_taken_for_32_mib(monkeypatch):
    monkeypatch.setattr(probes, "last_level_cache_bytes", lambda _device: None)
    assert probes.read_bytes(CPU) == 512 * 2**20


def test_five_samples_after_half_a_second_of_reading():
    began = time.perf_counter()
    samples = probes.read_samples_gbs(CPU, 2**24)
    assert time.perf_counter() - began >= 0.5
    assert len(samples) == 5
    assert 0.1 < min(samples) < 10_000  # GB/s


def test_a_cpu_launches_nothing():
    assert probes.launch_samples_us(CPU) == []
