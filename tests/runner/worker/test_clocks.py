"""The clocks: what each includes, seen on a step that counts and takes a known time."""

import gc
import subprocess
import sys
import time

import pytest
import torch

from runner.cell.jsonform import to_json
from runner.machine import host
from runner.record.sections.passes import WallPass
from runner.worker import clocks, windows
from tests.fakes.cuda import Cuda

STEP_S, READ_BACK_S = 0.002, 0.004
STEPS = 7


class Token:
    def __init__(self, step):
        self.step = step

    def item(self):
        self.step.calls.append("read back")
        time.sleep(READ_BACK_S)
        return len(self.step.calls)


class CountingStep:
    def __init__(self):
        self.calls = []

    def restart(self, position):
        self.calls.append(f"restart {position}")

    def poison(self, position):
        self.calls.append(f"poison {position}")

    def __call__(self):
        self.calls.append("step")
        time.sleep(STEP_S)
        return Token(self)


@pytest.mark.parametrize(
    ("before", "after", "seconds", "others"),
    [
        ((100.0, 10.0), (103.0, 11.0), 1.0, 2.0),  # all used 3 s, this process 1 of them, in a window of 1 s
        ((100.0, 10.0), (103.0, 11.0), 4.0, 0.5),  # 2 s in 4 s
        ((100.0, 10.0), (101.0, 11.0), 1.0, 0.0),
        ((100.0, 10.0), (100.5, 11.0), 1.0, 0.0),  # ticks of 10 ms against nanoseconds
        ((100.0, 10.0), (103.0, 11.0), 0.0, None),
        (None, (103.0, 11.0), 1.0, None),
        ((100.0, 10.0), None, 1.0, None),
    ],
)
def test_the_cores_of_others_are_all_less_its_own(monkeypatch, before, after, seconds, others):
    monkeypatch.setattr(clocks.host, "busy_seconds", lambda: after)
    assert clocks._cores_used_by_others(before, seconds) == others


@pytest.mark.slow
def test_a_busy_neighbour_is_seen_by_the_wall_clock():
    """The real figure of a real process: it spins on a core for as long as the window is open."""
    spinning = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    with subprocess.Popen(spinning, stdout=subprocess.PIPE) as neighbour:
        neighbour.stdout.readline()
        try:
            found = to_json(clocks.wall(CountingStep(), 150).section)
        finally:
            neighbour.kill()
    if host.busy_seconds() is None:
        assert found["other_cpu_cores"] is None
    else:
        assert found["other_cpu_cores"] > 0.3


@pytest.fixture
def step():
    return CountingStep()


def test_warm_up_goes_back_to_ctx_reads_every_token_and_spoils_what_is_to_be_written(step):
    token = clocks.warm_up(step, 64, 3)
    assert step.calls == ["restart 64", "poison 64", *["step", "read back"] * 3, "poison 67"]
    assert token == 8  # calls until the last read-back


@pytest.mark.medium
def test_wall_times_each_step_together_with_its_read_back(step):
    began = time.perf_counter()
    timed = clocks.wall(step, STEPS)
    most = (time.perf_counter() - began) * 1e3
    found = to_json(timed.section)
    assert step.calls == ["step", "read back"] * 7
    assert timed.tokens == (2, 4, 6, 8, 10, 12, 14)
    assert len(found["steps_ms"]) == 7
    assert min(found["steps_ms"]) >= (STEP_S + READ_BACK_S) * 1e3  # 2 ms + 4 ms
    assert sum(found["steps_ms"]) <= most
    assert (found["segments"], found["compiled"], found["collected"]) == (0, 0, 0)


@pytest.mark.medium
def test_rate_reads_nothing_back_and_has_one_total(step):
    began = time.perf_counter()
    timed = clocks.rate(step, STEPS, torch.device("cpu"))
    most = (time.perf_counter() - began) * 1e3
    found = to_json(timed.section)
    assert step.calls == ["step"] * 7
    assert timed.tokens == ()
    assert 7 * STEP_S * 1e3 <= found["total_ms"] <= most


CUDA = torch.device("cuda")
LAUNCH_NS, COPY_NS = 10_000, 30_000
LAST = "last kernel"


class DeviceToken:
    """A token on the pretended device: reading it waits for all that was queued, and takes a copy."""

    def __init__(self, cuda, value):
        self.cuda, self.value = cuda, value

    def item(self):
        self.cuda.calls.append("read back")
        self.cuda.run("Memcpy DtoH (Device -> Pageable)", COPY_NS)
        self.cuda.wait()
        return self.value


class DeviceStep:
    """Each step launches two kernels; the second of step i runs (i + 1) · 100 µs, the first 50 µs."""

    def __init__(self, cuda):
        self.cuda, self.steps = cuda, 0

    def __call__(self):
        self.cuda.calls.append("step")
        self.steps += 1
        self.cuda.launch("gemm", 50_000)
        self.cuda.launch(LAST, self.steps * 100_000)
        return DeviceToken(self.cuda, self.steps)


@pytest.fixture
def cuda(monkeypatch):
    found = Cuda(LAUNCH_NS).install(monkeypatch)
    monkeypatch.setattr(clocks, "time", found.clock)
    return found


THREE = 3


@pytest.mark.medium
def test_span_is_from_event_to_event_around_the_step_and_reads_back_after_the_second(cuda):
    timed = clocks.span(DeviceStep(cuda), THREE, CUDA)
    assert cuda.calls == ["record", "step", "record", "read back", "synchronise"] * 3
    # a launch of 10 µs, the kernel of 50 µs, and behind it the one of 100, 200 and 300 µs; no copy of 30 µs
    assert to_json(timed.section)["steps_ms"] == [0.16, 0.26, 0.36]
    assert timed.tokens == (1, 2, 3)


@pytest.mark.medium
def test_wall_is_the_host_clock_from_the_call_to_the_token(cuda):
    timed = clocks.wall(DeviceStep(cuda), THREE)
    assert cuda.calls == ["step", "read back"] * 3
    # the same, and the copy of 30 µs
    assert to_json(timed.section)["steps_ms"] == [0.19, 0.29, 0.39]
    assert timed.tokens == (1, 2, 3)


@pytest.mark.medium
def test_wall_holds_the_cores_of_others_against_its_own_window(cuda, monkeypatch):
    used = iter([(10.0, 1.0), (10.0087, 1.0)])
    monkeypatch.setattr(clocks.host, "busy_seconds", lambda: next(used))
    # 8.7 ms of others' time in 0.19 + 0.29 + 0.39 = 0.87 ms
    assert clocks.wall(DeviceStep(cuda), THREE).section.other_cpu_cores == 10.0


@pytest.mark.medium
def test_rate_is_the_host_clock_until_the_device_has_done_all(cuda):
    timed = clocks.rate(DeviceStep(cuda), THREE, CUDA)
    assert cuda.calls == ["step"] * 3 + ["synchronise"]
    # one launch of 10 µs, then the device is never idle: 3 · 50 + 100 + 200 + 300 µs
    assert timed.section.total_ms == 0.76
    assert timed.tokens == ()


@pytest.mark.medium
def test_busy_is_the_kernels_of_each_step_between_its_markers(cuda):
    timed = clocks.busy(DeviceStep(cuda), THREE, CUDA)
    assert cuda.calls == ["step", "read back"] * 3 + ["synchronise"]
    found = to_json(timed.section)
    assert found["kernels"] == [2, 2, 2]  # neither marker nor copy
    assert found["steps_ms"] == found["span_ms"] == [0.15, 0.25, 0.35]
    assert timed.tokens == (1, 2, 3)
    assert timed.observed.counts == {"gemm": 1.0, LAST: 1.0}
    assert timed.observed.graph_mode == "none"


@pytest.mark.medium
def test_busy_leaves_out_what_lies_between_the_kernels(cuda):
    """A kernel of 5 µs is done before the next is launched, 10 µs later: busy 5 + 5, span 5 + 5 + 5 µs."""

    class Slow(DeviceStep):
        def __call__(self):
            cuda.launch("gemm", 5_000)
            cuda.launch("gemm", 5_000)
            return DeviceToken(cuda, 0)

    found = to_json(clocks.busy(Slow(cuda), THREE, CUDA).section)
    assert found["steps_ms"] == [0.01] * 3
    assert found["span_ms"] == [0.015] * 3


@pytest.mark.medium
def test_busy_sees_a_graph_launched_at_each_step(cuda):
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        cuda.launch("gemm", 50_000)

    class Replays(DeviceStep):
        def __call__(self):
            graph.replay()
            return DeviceToken(cuda, 0)

    timed = clocks.busy(Replays(cuda), THREE, CUDA)
    assert to_json(timed.section)["kernels"] == [1, 1, 1]
    assert timed.observed.graph_launches == 1.0
    assert timed.observed.graph_mode == "whole-step"


CLOCKS = {
    "wall": lambda step: clocks.wall(step, THREE),
    "span": lambda step: clocks.span(step, THREE, CUDA),
    "rate": lambda step: clocks.rate(step, THREE, CUDA),
    "busy": lambda step: clocks.busy(step, THREE, CUDA),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLOCKS)
def test_each_clock_counts_what_its_own_steps_must_not_do(cuda, name):
    class Graph:
        def capture_begin(self): ...

    windows.count_captures(Graph)

    class Collecting(DeviceStep):
        def __call__(self):
            gc.collect()
            Graph().capture_begin()
            Graph().capture_begin()
            return super().__call__()

    quiet, found = (to_json(CLOCKS[name](kind(cuda)).section) for kind in (DeviceStep, Collecting))
    counts = ("segments", "compiled", "captured", "collected")
    assert [quiet[count] for count in counts] == [0, 0, 0, 0]
    assert [found[count] for count in counts] == [0, 0, 6, 3]


@pytest.mark.medium
def test_nothing_of_the_next_step_is_launched_before_a_clock_has_stopped(cuda):
    """Where a read-back follows each step, the device is idle when the next begins."""
    idle = []

    class Watching(DeviceStep):
        def __call__(self):
            idle.append(cuda.done_ns <= cuda.now_ns)
            return super().__call__()

    clocks.wall(Watching(cuda), THREE)
    clocks.span(Watching(cuda), THREE, CUDA)
    assert idle == [True] * 6


@pytest.mark.parametrize(("device", "waits"), [("cuda", ["synchronise"]), ("cpu", [])])
def test_a_gpu_is_waited_for_and_a_cpu_is_not(cuda, device, waits):
    clocks.wait(torch.device(device))
    assert cuda.calls == waits


@pytest.mark.medium
def test_times_are_kept_to_the_nanosecond(cuda):
    cuda.launch_ns = 10_001
    # 10 001 + 50 000 + 100 000 + 30 000 ns
    assert clocks.wall(DeviceStep(cuda), 1).section.steps_ms == (0.190001,)


def test_a_time_finer_than_a_nanosecond_is_rounded_to_one():
    """Events and profilers measure in fractions of one."""
    assert clocks._rounded(0.1234564) == 0.123456
    assert clocks._rounded(0.1234566) == 0.123457


@pytest.mark.medium
def test_wall_says_how_often_its_thread_was_switched_in_its_own_window(step, monkeypatch):
    """Each step sleeps, and so does its read-back: 14 waits for 7 steps, and none by force that is not the host's."""
    monkeypatch.setattr(clocks.host, "core_mhz", lambda: 2100.5)
    found = clocks.wall(step, STEPS).section
    assert found.voluntary_switches >= 14
    assert found.involuntary_switches >= 0
    assert found.cpu_mhz == (2100.5,)
    monkeypatch.setattr(clocks.host, "core_mhz", lambda: None)
    counted = iter([(100, 50), (107, 52)])
    monkeypatch.setattr(clocks.host, "switches", lambda: next(counted))
    found = clocks.wall(step, STEPS).section
    assert (found.voluntary_switches, found.involuntary_switches, found.cpu_mhz) == (7, 2, None)


def window(*steps_ms, cores=0.0, mhz=2000.0, **counts):
    """A window in which nothing happened, but for the counts given."""
    quiet = dict.fromkeys(
        ("segments", "compiled", "captured", "collected", "voluntary_switches", "involuntary_switches"), 0
    )
    return WallPass(
        steps_ms=steps_ms, other_cpu_cores=cores, cpu_mhz=None if mhz is None else (mhz,), **{**quiet, **counts}
    )


def test_one_window_is_its_pass():
    only = window(1.0, 2.0)
    assert clocks.joined([only]) is only


def test_several_windows_are_one_pass_in_whole_microseconds_with_all_that_happened():
    found = clocks.joined(
        [
            window(1.0004, 1.9996, cores=0.5, compiled=1, collected=2, involuntary_switches=3),
            window(3.0, 6.0, cores=0.1, segments=4, captured=5, voluntary_switches=6, involuntary_switches=1),
        ]
    )
    assert found.windows_us == ((1000, 2000), (3000, 6000))
    assert found.windows_ms == ((1.0, 2.0), (3.0, 6.0))
    assert found.steps_ms == (1.0, 2.0, 3.0, 6.0)
    # (3 ms · 0.5 + 9 ms · 0.1) / 12 ms
    assert found.other_cpu_cores == 0.2
    assert (found.segments, found.compiled, found.captured, found.collected) == (4, 1, 5, 2)
    assert (found.voluntary_switches, found.involuntary_switches) == (6, 4)
    assert found.cpu_mhz == (2000.0, 2000.0)


def test_what_one_window_does_not_know_the_pass_does_not_know():
    found = clocks.joined([window(1.0), window(1.0, cores=None, mhz=None)])
    assert found.other_cpu_cores is None
    assert found.cpu_mhz is None


def test_no_step_is_rounded_to_nothing():
    assert clocks.joined([window(0.0004), window(0.0015)]).windows_us == ((1,), (2,))
