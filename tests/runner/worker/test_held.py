"""What a device holds: all that is taken, less what torch's allocator keeps free; beyond what was held before."""

import pytest
import torch

from runner.cell.fieldtypes import ABSENT
from runner.record.sections.quantities import HeldBytes
from runner.worker import held

MIB, GIB = 2**20, 2**30
TOTAL = 80 * GIB


class Card:
    """Memory as CUDA and torch's allocator tell of it. `garbage` waits for Python's collector, `cached` for
    `empty_cache`, `queued` for the device: none of it is held."""

    def __init__(self, monkeypatch):
        self.live, self.foreign = 100 * MIB, 500 * MIB
        self.garbage, self.cached, self.queued = 0, 0, 0
        self.kept = 12 * MIB  # of a segment that is in part in use, torch can give nothing back
        for name in ("memory_allocated", "memory_reserved", "mem_get_info", "synchronize", "empty_cache"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(held.gc, "collect", self.collect)

    def collect(self):
        self.cached, self.garbage = self.cached + self.garbage, 0

    def synchronize(self):
        self.cached, self.queued = self.cached + self.queued, 0

    def empty_cache(self):
        self.cached = 0

    def memory_allocated(self):
        return self.live + self.garbage + self.queued

    def memory_reserved(self):
        return self.memory_allocated() + self.kept + self.cached

    def mem_get_info(self):
        return TOTAL - self.foreign - self.memory_reserved(), TOTAL


@pytest.fixture
def card(monkeypatch):
    return Card(monkeypatch)


@pytest.mark.usefixtures("card")
def test_a_library_s_own_memory_is_the_devices_and_not_the_allocators():
    # 100 MiB of live tensors; the device lacks 500 + 100 + 12, of which torch keeps 12 free
    assert held.measure() == held.Held(100 * MIB, 600 * MIB)


@pytest.mark.parametrize("waiting", ["garbage", "cached", "queued"])
def test_what_waits_to_be_freed_is_not_held(card, waiting):
    before = held.measure()
    setattr(card, waiting, 7 * MIB)
    assert held.measure() == before


def test_more_than_another_is_the_difference_of_each():
    assert held.difference(held.Held(10, 70), held.Held(4, 50)) == held.Held(6, 20)


@pytest.fixture
def ledger(card, monkeypatch):
    """One whose workspaces, 32 MiB, are taken when it begins."""
    asked = []

    def take(device):
        asked.append(device.type)
        card.live += 32 * MIB

    monkeypatch.setattr(held, "_take_workspaces", take)
    found = held.Ledger(torch.device("cuda"))
    assert asked == ["cuda"]
    return found


def test_each_stage_is_all_that_came_since_the_beginning_and_workspaces_are_none_of_it(card, ledger):
    card.live += 14 * GIB
    ledger.note("weights")
    card.foreign += 64 * MIB
    ledger.note("kernel")
    card.live += 2 * GIB
    ledger.note("step")
    assert ledger.held_bytes() == HeldBytes(
        weights=held.Held(allocator=14 * GIB, device=14 * GIB),
        kernel=held.Held(allocator=14 * GIB, device=14 * GIB + 64 * MIB),
        step=held.Held(allocator=16 * GIB, device=16 * GIB + 64 * MIB),
    )


def test_cublas_takes_its_workspace_for_each_dtype_that_a_cell_may_have(monkeypatch):
    multiplied = []
    matmul = torch.matmul
    monkeypatch.setattr(torch, "matmul", lambda one, other: multiplied.append(one.dtype) or matmul(one, other))
    held._take_workspaces(torch.device("cpu"))
    assert set(multiplied) == {torch.float32, torch.float16, torch.bfloat16}


def test_of_a_cpu_nothing_is_told(monkeypatch):
    monkeypatch.setattr(held, "measure", lambda: pytest.fail("asked"))
    ledger = held.Ledger(torch.device("cpu"))
    ledger.note("weights")
    assert ledger.held_bytes() is ABSENT
