"""Which clock runs when in a session, what each pass leaves for the gate, and what two prefills are."""

from dataclasses import replace
from itertools import chain
from types import SimpleNamespace

import pytest
import torch

from runner.cell.protocol import NAMED
from runner.record.sections.passes import Passes, Prefill
from runner.worker import clocks, timing
from runner.worker.peaks import Peaks
from runner.worker.progress import Clock
from tests.fakes.cuda import Cuda

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def cuda(monkeypatch):
    found = Cuda(launch_ns=0).install(monkeypatch)
    monkeypatch.setattr(timing, "time", found.clock)
    return found


class Prompt:
    """A step whose prompts take so many ms of the device each, and reading the token back 1 ms more."""

    def __init__(self, cuda, *takes_ms):
        self.cuda, self.takes_ms = cuda, iter(takes_ms)

    def prefill(self, tokens):
        self.cuda.calls.append(f"prefill {tokens}")
        self.cuda.launch("prompt", next(self.takes_ms) * 10**6)
        return self

    def item(self):
        self.cuda.calls.append("read back")
        self.cuda.run("Memcpy", 10**6)
        self.cuda.wait()


@pytest.mark.parametrize(("cold", "warm"), [(300, 100), (100, 300), (100, 60_000)])
def test_the_first_prefill_is_the_cold_one_and_each_ends_with_its_token_on_the_host(cuda, tiny_job, cold, warm):
    cuda.launch("what came before", 50 * 10**6)  # waited for before the clock starts
    timed = timing.prefill(Prompt(cuda, cold, warm), tiny_job.cell.ctx, GPU, Clock(1_000, 0.0))
    assert timed == Prefill(cold_ms=cold + 1.0, ms=warm + 1.0)
    assert cuda.calls == ["synchronise", "prefill 64", "read back"] * 2


class Keeper:
    def __init__(self, log):
        self.log = log

    def drive(self, name, start):
        self.log.append(f"drive {name} {start}")

    def check_pass(self, name, chosen, before, steps, is_window):
        self.log.append(("after", name, chosen, before, steps, is_window))

    def evidence(self, cell, hidden, synthetic):
        self.log.append(("evidence", cell.quant, hidden, synthetic))
        return "evidence"


@pytest.fixture
def passes(monkeypatch, log):
    """Clocks that say their name, and a profile; each warm-up ends with another token."""
    warmed = iter(range(100, 200))
    monkeypatch.setattr(
        clocks, "warm_up", lambda _step, ctx, count: log.append(f"warm up {ctx} {count}") or next(warmed)
    )
    profile = SimpleNamespace(summary=lambda: ("gemm",))

    def clock(name):
        def measure(_step, steps, **_device):
            log.append(name)
            chosen = () if name == "rate" else (7, 8)
            section = (name, steps)
            return SimpleNamespace(section=section, tokens=chosen, profile=profile, observed=f"observed by {name}")

        return measure

    for name in ("wall", "span", "rate", "busy"):
        monkeypatch.setattr(clocks, name, clock(name))
    monkeypatch.setattr(timing.profiling, "operators_of", lambda _step, ctx: f"operators at {ctx}")
    monkeypatch.setattr(timing.actual, "describe", lambda _job, observed, _step: observed)


def measured(job, device, log):
    step = SimpleNamespace(restart=lambda position: log.append(f"restart {position}"))
    on_device = replace(job, device=replace(job.device, kind=device.type))
    passes = timing.Timing(step, Keeper(log), on_device, Clock(1_000, 0.0), Peaks(torch.device("cpu")))
    clocked = passes.clocked()
    log.append("clocked")
    return passes.profiled(clocked)


def of_pass(name, clock, before, chosen=(7, 8), steps=30, is_window=False):
    return ["warm up 64 5", clock, ("after", name, chosen, before, steps, is_window)]


def end(synthetic=True):
    return ["restart 64", ("evidence", "bf16", 128, synthetic)]


@pytest.mark.usefixtures("passes")
def test_a_gpus_passes_each_have_their_own_clock_and_warm_up(tiny_job, log):
    job = replace(tiny_job, cell=replace(tiny_job.cell, cache="static"))
    found = measured(job, GPU, log)
    assert log == [
        *of_pass("wall", "wall", 100),
        "drive ctx 64",
        *of_pass("span", "span", 101),
        *of_pass("rate", "rate", 102, ()),
        "clocked",
        *of_pass("busy", "busy", 103),
        *end(),
    ]
    assert found.passes == Passes(**{name: (name, 30) for name in ("wall", "span", "rate", "busy")})
    assert found.kernels == ("gemm",)
    assert found.actual == "observed by busy"
    assert found.evidence == "evidence"


@pytest.mark.usefixtures("passes")
def test_a_growing_cache_is_visited_a_second_time_and_a_cpu_has_no_other_clock(tiny_job, log):
    found = measured(replace(tiny_job, checkpoint="/somewhere"), CPU, log)
    assert log == [
        *of_pass("wall", "wall", 100),
        "drive ctx 64",
        *of_pass("revisit", "wall", 101),
        "clocked",
        *end(False),
    ]
    assert found.passes == Passes(wall=("wall", 30), revisit=("wall", 30))
    assert (found.kernels, found.actual) == ((), "operators at 64")


@pytest.mark.usefixtures("passes")
def test_the_wall_pass_alone_is_long_in_a_protocol_for_tails(tiny_job, log):
    job = replace(tiny_job, cell=replace(tiny_job.cell, cache="static"), protocol=NAMED["tail"])
    found = measured(job, GPU, log)
    assert log[:4] == [*of_pass("wall", "wall", 100, steps=300), "drive ctx 64"]
    assert [each[4] for each in log if each[0] == "after"] == [300, 30, 30, 30]
    assert found.passes.wall == ("wall", 300)


@pytest.mark.usefixtures("passes")
def test_each_window_is_warmed_up_and_checked_before_the_next(tiny_job, log, monkeypatch):
    monkeypatch.setattr(clocks, "joined", tuple)
    job = replace(tiny_job, cell=replace(tiny_job.cell, cache="static"), protocol=replace(NAMED["tail"], windows=3))
    found = measured(job, CPU, log)
    windows = [of_pass(f"wall window {at}", "wall", 99 + at, steps=300, is_window=True) for at in (1, 2, 3)]
    assert log == [*chain(*windows), "drive ctx 64", "clocked", *end()]
    assert found.passes.wall == (("wall", 300),) * 3
