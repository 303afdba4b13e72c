"""Peaks of memory: of the session, and of the timed steps, without what the checks between them take."""

from pathlib import Path

import pytest
import torch

from runner.cell.fieldtypes import ABSENT
from runner.worker.peaks import Peaks

CPU, GPU = torch.device("cpu"), torch.device("cuda")


class Counter:
    """torch's counter of the largest memory in use since it was reset."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.most = 0
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: self.most)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", self.reset)

    def reset(self) -> None:
        self.most = self.now

    def use(self, now: int, most: int) -> None:
        self.now, self.most = now, max(self.most, most)


def test_the_steps_peak_leaves_out_the_checks_before_and_between(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter(monkeypatch)
    peaks = Peaks(GPU)
    counter.use(100, most=900)  # verification
    with peaks.of_steps():
        counter.use(110, most=120)
    counter.use(100, most=500)
    with peaks.of_steps():
        counter.use(130, most=150)
    assert (peaks.whole_bytes(), peaks.steps_bytes()) == (900, 150)


def test_a_peak_before_the_steps_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter(monkeypatch)
    peaks = Peaks(GPU)
    with peaks.of_steps():
        counter.use(100, most=120)
    counter.use(100, most=700)
    assert peaks.whole_bytes() == 700


def test_a_cpus_peak_is_the_most_that_this_process_has_held() -> None:
    lines = Path("/proc/self/status").read_text().splitlines()
    kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    peaks = Peaks(CPU)
    with peaks.of_steps():
        pass
    assert peaks.whole_bytes() == pytest.approx(kibibytes * 1024, rel=0.015)
    assert peaks.steps_bytes() is ABSENT
