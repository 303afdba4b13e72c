"""The probes: sizes, and figures that follow from bytes, launches and time by arithmetic."""

import time
from types import SimpleNamespace

import pytest
import torch

from runner.worker import probes
from tests.fakes.cuda import Cuda

CPU = torch.device("cpu")


def test_it_reads_at_least_sixteen_caches(monkeypatch):
    monkeypatch.setattr(probes, "last_level_cache_bytes", lambda _device: 32 * 2**20)
    assert probes.read_bytes(CPU) == 512 * 2**20  # 16 x 32 MiB


def test_a_cache_of_unknown_size_is_taken_for_32_mib(monkeypatch):
    monkeypatch.setattr(probes, "last_level_cache_bytes", lambda _device: None)
    assert probes.read_bytes(CPU) == 512 * 2**20


class Buffer:
    """A buffer of 4 · `elements` bytes, whose sum takes 1 ns a byte of it: 1 GB/s."""

    def __init__(self, cuda, elements, is_cuda):
        self.cuda, self.elements, self.is_cuda = cuda, elements, is_cuda
        self.nbytes, self.device = 4 * elements, torch.device("cuda")

    def __len__(self):
        return self.elements

    def __getitem__(self, part):
        return Buffer(self.cuda, len(range(self.elements)[part]), self.is_cuda)

    def sum(self):
        if self.is_cuda:
            self.cuda.calls.append(f"sum {self.nbytes}")
            self.cuda.launch("reduce_kernel", self.nbytes)
        else:
            self.cuda.now_ns += self.nbytes
        return self

    def item(self):
        self.cuda.wait()


@pytest.fixture
def cuda(monkeypatch):
    found = Cuda(launch_ns=5_000).install(monkeypatch)
    monkeypatch.setattr(probes, "time", found.clock)
    return found


@pytest.fixture
def buffers(cuda, monkeypatch):
    """The buffers that were made, as bytes."""
    made = []

    def ones(elements, dtype, device):
        made.append(elements * dtype.itemsize)
        return Buffer(cuda, elements, device.type == "cuda")

    monkeypatch.setattr(torch, "ones", ones)
    return made


def test_a_gpus_bandwidth_is_the_bytes_of_the_whole_buffer_by_the_time_between_two_events(cuda, buffers):
    """2 GB in 2 s, and 5 µs of launching before the device begins: 2 / 2.000005."""
    samples = probes.read_samples_gbs(torch.device("cuda"), 2 * 10**9)
    assert buffers == [2 * 10**9]
    assert samples == [pytest.approx(2 / 2.000005, abs=1e-3)] * 5
    assert cuda.calls[-20:] == ["record", "sum 2000000000", "record", "synchronise"] * 5


def test_a_cpus_bandwidth_is_the_bytes_of_the_whole_buffer_by_the_hosts_clock(buffers):
    assert probes.read_samples_gbs(CPU, 2 * 10**9) == [1.0] * 5
    assert buffers == [2 * 10**9]


def test_before_the_first_sample_it_reads_for_half_a_second(cuda, buffers):
    """Each read takes 0.1 s: five, and perhaps one more, before the first event."""
    probes.read_samples_gbs(torch.device("cuda"), 10**8)
    assert cuda.calls.index("record") in (5, 6)
    assert set(cuda.calls[: cuda.calls.index("record")]) == {"sum 100000000"}
    assert buffers == [10**8]


@pytest.mark.medium
def test_a_read_of_this_machine_is_as_fast_as_its_bytes_and_seconds_say(monkeypatch):
    """The real reduction: neither faster than one that reads half the buffer, nor slower than the call as a whole."""
    monkeypatch.setattr(probes, "WARM_UP_S", 0.0)
    buffer = torch.ones(2**24)
    reads = []
    for _ in range(5):
        began = time.perf_counter()
        found = probes._read_gbs(buffer)
        reads.append((found, buffer.nbytes / (time.perf_counter() - began) / 1e9))
    assert all(found >= least - 1e-3 for found, least in reads)
    # the clock is read within the call: of the five, one at least was not put aside between
    assert min(found / least for found, least in reads) < 1.2


def test_a_cpu_launches_nothing():
    assert probes.launch_samples_us(CPU) == []


@pytest.mark.medium
def test_a_launch_costs_what_the_host_takes_for_it_whatever_the_device_does_meanwhile(cuda, monkeypatch):
    """1000 launches of 5.678 µs; 3 ms of older work are waited for before, and what is queued after the last."""
    cuda.launch_ns = 5_678
    cuda.launch("earlier", 3_000_000)
    monkeypatch.setattr(cuda, "_sleep", lambda cycles: cuda.launch("spin_kernel", 100_000 + cycles))
    monkeypatch.setattr(torch.cuda, "_sleep", cuda._sleep)
    assert probes.launch_samples_us(torch.device("cuda")) == [5.678] * 5
    assert cuda.calls == ["synchronise"] * 10
    assert sum(event.name() == "spin_kernel" for event in cuda.seen) == 5000
    assert cuda.now_ns == cuda.done_ns  # nothing is left for the next clock to wait for


@pytest.mark.medium
def test_a_null_launch_asks_the_device_for_nothing(cuda):
    probes.launch_samples_us(torch.device("cuda"))
    assert {event.duration_ns() for event in cuda.seen} == {0}


@pytest.mark.parametrize(
    ("memory", "size"),
    [
        (80 * 2**30, 4 * 2**30),  # four GiB, more than 16 caches of 50 MiB
        (24 * 2**30, 3 * 2**30),  # an eighth of a small card
        (2**30, 16 * 50 * 2**20),  # never less than 16 caches
    ],
)
def test_a_card_reads_four_gib_or_an_eighth_of_its_memory(monkeypatch, memory, size):
    properties = SimpleNamespace(total_memory=memory, L2_cache_size=50 * 2**20)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: properties)
    assert probes.last_level_cache_bytes(torch.device("cuda")) == 50 * 2**20
    assert probes.read_bytes(torch.device("cuda")) == size
