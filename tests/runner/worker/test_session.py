"""The parts of a session one by one, and the order in which they run."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from runner.cell import floors
from runner.cell.fieldtypes import ABSENT
from runner.record.sections.energy import NoEnergy
from runner.record.sections.surroundings import Probes, Snapshots
from runner.study.recorded import imports
from runner.worker import energy, session, tokens
from runner.worker.progress import Clock

CPU, GPU = torch.device("cpu"), torch.device("cuda")
MIB = 2**20


@pytest.fixture
def pretended(monkeypatch, log, tiny_job):
    """The job of a session of which each part only says that it was called."""
    job = replace(tiny_job, device=replace(tiny_job.device, uuid="GPU-1"))

    def says(name, answer):
        return lambda *_, **__: log.append(name) or answer

    def snapshot(uuid, _taken_ms):
        log.append(f"snapshot {uuid}")
        return len(log)

    loaded = SimpleNamespace(job=job, model=None, tokens=None, device=CPU, weight_bytes=1)
    expectation = SimpleNamespace(finite=True)
    for name, answer in {
        "_probe": "speeds",
        "_load": loaded,
        "_expect": (expectation, None),
        "_build": SimpleNamespace(prefill=lambda tokens: log.append(f"prefill {tokens}")),
    }.items():
        monkeypatch.setattr(session, name, says(name, answer))
    monkeypatch.setattr(session.assemble, "measured", lambda found, _clock: found)
    monkeypatch.setattr(session.record, "write", lambda *_: None)
    monkeypatch.setattr(session.environment, "environment", says("environment", None))
    monkeypatch.setattr(session.timing, "prefill", says("prefill", None))
    passes = SimpleNamespace(clocked=says("clocked", "passes"), profiled=says("profiled", None))
    monkeypatch.setattr(session.timing, "Timing", lambda *_: passes)
    monkeypatch.setattr(session.card, "check", says("card", None))
    monkeypatch.setattr(session.nvml, "snapshot", snapshot)
    keeper = SimpleNamespace(drive=lambda name, start: log.append(f"drive {name} {start}"))
    monkeypatch.setattr(session, "Gatekeeper", lambda *_: keeper)
    return job


def test_snapshots_of_the_card_stand_before_and_after_all_that_is_measured(pretended, log):
    found = session.run(pretended, Clock(1_000, 0.0))
    assert log == [
        "card",
        "snapshot GPU-1",
        "_probe",
        "_load",
        "_expect",
        "_build",
        "prefill 17",
        "drive short 17",
        "prefill",
        "clocked",
        "profiled",
        "environment",
        "snapshot GPU-1",
    ]
    assert found.snapshots == Snapshots(before=2, after=13)
    assert found.probes == "speeds"


class Memory:
    """torch's account of what is allocated, and of the most that was since it was reset."""

    def __init__(self, monkeypatch):
        self.now = self.most = 900 * MIB  # a probe's buffer was there before, and is no more
        for name in ("empty_cache", "reset_peak_memory_stats", "max_memory_allocated", "memory_allocated"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))

    def take(self, count):
        self.now += count
        self.most = max(self.most, self.now)

    def empty_cache(self): ...

    def reset_peak_memory_stats(self):
        self.most = self.now

    def max_memory_allocated(self):
        return self.most

    def memory_allocated(self):
        return self.now


@pytest.mark.parametrize(("taken", "extra"), [(50 * MIB, 50 * MIB - 64 * 512), (1_000, 0)])
def test_what_the_expectation_takes_is_its_peak_over_weights_and_cache(monkeypatch, tiny_job, taken, extra):
    memory = Memory(monkeypatch)
    memory.now = 100 * MIB

    def expect(*_):
        memory.take(taken)
        memory.now = 100 * MIB
        return "expectation"

    monkeypatch.setattr(session.gate, "expect", expect)
    loaded = SimpleNamespace(job=tiny_job, device=GPU, model=None, tokens=None, weight_bytes=100 * MIB)
    # a position has 2 · 2 layers · 2 heads · 32 · 2 B = 512 B of keys and values; 64 of them
    assert floors.kv_bytes_per_token(tiny_job.shape, 2) == 512
    assert session._expect(loaded) == ("expectation", extra)
    assert memory.most == 100 * MIB  # the record's peak is that of the steps


def test_a_cpu_does_not_count_what_the_expectation_takes(monkeypatch, tiny_job):
    monkeypatch.setattr(session.gate, "expect", lambda *_: "expectation")
    loaded = SimpleNamespace(job=tiny_job, device=CPU, model=None, tokens=None, weight_bytes=1)
    assert session._expect(loaded) == ("expectation", None)


@pytest.mark.parametrize(("device", "emptied"), [(CPU, 0), (GPU, 1)])
def test_the_probe_reads_as_many_bytes_as_it_says(monkeypatch, device, emptied):
    empty = []
    monkeypatch.setattr(session.probes, "read_bytes", lambda _device: 64)
    monkeypatch.setattr(session.probes, "read_samples_gbs", lambda _device, size: [float(size)])
    monkeypatch.setattr(session.probes, "launch_samples_us", lambda _device: [5.0])
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: empty.append(1))
    assert session._probe(device) == Probes(
        read_bytes=64, read_samples_gbs=(64.0,), launch_samples_us=(5.0,), read_gbs=64.0, launch_us=5.0
    )
    assert len(empty) == emptied  # its buffer goes back to the device before the model comes


def test_the_tokens_are_those_of_the_sessions_seed(tiny_job):
    job = replace(tiny_job, session=replace(tiny_job.session, seed=3, index=7))
    with torch.inference_mode():
        found = session._load(job, CPU)
    # 64 + 5 + 30 tokens
    assert torch.equal(found.tokens.sequence, tokens.draw(job.shape.vocab, 99, 3, CPU).sequence)
    assert found.weight_bytes == sum(parameter.nbytes for parameter in found.model.parameters())


@pytest.mark.parametrize(("compiles", "phase"), [(False, "build"), (True, "compile")])
def test_what_is_held_is_noted_after_the_kernel_and_after_the_step(monkeypatch, tiny_job, log, compiles, phase):
    declared = SimpleNamespace(compiles=compiles, owns_model=False)
    runtime = SimpleNamespace(DECLARATION=declared, build=lambda *_: log.append("step built") or "step")
    monkeypatch.setattr(session.registry, "runtime", lambda _name: runtime)
    monkeypatch.setattr(session.model, "use_kernel", lambda _model, kernel: log.append(kernel))
    clock = Clock(1_000, 0.0)
    ledger = SimpleNamespace(note=lambda stage: log.append(f"note {stage}"))
    loaded = SimpleNamespace(job=tiny_job, model=None, tokens=None)
    assert session._build(loaded, ledger, clock) == "step"
    assert log == ["torch-cpu", "note kernel", "step built", "note step"]
    assert list(clock.seconds) == ["start", phase]


def test_a_runtime_that_owns_its_model_has_no_kernels_layers(monkeypatch, tiny_job, log):
    runtime = SimpleNamespace(DECLARATION=SimpleNamespace(compiles=False, owns_model=True), build=lambda *_: "step")
    monkeypatch.setattr(session.registry, "runtime", lambda _name: runtime)
    monkeypatch.setattr(session.model, "use_kernel", lambda *_: log.append("kernel"))
    loaded = SimpleNamespace(job=tiny_job, model=None, tokens=None)
    session._build(loaded, SimpleNamespace(note=lambda _: None), Clock(1_000, 0.0))
    assert log == []


def test_the_fault_of_a_checkpoint_is_looked_for_in_its_files(monkeypatch, tiny_job):
    monkeypatch.setattr(session.notfinite, "first", lambda model, read: (model, read))
    monkeypatch.setattr(session.model, "read_stored", lambda folder, build, name: (folder, build.quant, name))
    loaded = SimpleNamespace(job=tiny_job, model="model", device=CPU)
    assert session._fault(loaded) == ("model", None)
    loaded.job = replace(tiny_job, checkpoint="/models/own")
    _, read = session._fault(loaded)
    assert read("a weight") == (Path("/models/own"), "bf16", "a weight")


def test_a_checkpoints_trace_is_its_own_and_written_while_its_layers_are_unpacked(monkeypatch, tiny_job, log):
    shape = replace(tiny_job.shape, tied_embedding=True)
    with torch.inference_mode():
        made = session.model.build_synthetic(session._to_build(tiny_job, CPU))  # untied, as its file says
    monkeypatch.setattr(session.model, "load_checkpoint", lambda folder, _build: log.append(folder) or made)

    @contextmanager
    def unpacked(_model):
        log.append("unpacked")
        yield
        log.append("packed")

    monkeypatch.setattr(session.plainlinear, "unpacked", unpacked)
    written = []
    monkeypatch.setattr(session.trace, "write", lambda step, *range_: written.append(step) or log.append(range_))
    found = session._load(replace(tiny_job, checkpoint="/models/own", shape=shape), CPU)
    # 64 + 5 + 30 = 99 tokens: the prompt's are drawn, and those of 64 … 98 are the model's
    assert log == [Path("/models/own"), "unpacked", (64, 99), "packed"]
    assert written[0].tokens is found.tokens
    assert found.job.shape == tiny_job.shape


@pytest.mark.parametrize(("runtime", "expected"), [("eager", []), ("fused", ["restart 64", "phases"])])
def test_the_phases_of_a_step_that_is_one_kernel_are_measured_from_ctx(tiny_job, log, runtime, expected):
    step = SimpleNamespace(
        restart=lambda position: log.append(f"restart {position}"), phases=lambda: log.append("phases") or "clocks"
    )
    job = replace(tiny_job, cell=replace(tiny_job.cell, runtime=runtime))
    assert session._phases(step, job, Clock(1_000, 0.0)) == ("clocks" if expected else ABSENT)
    assert log == expected


def test_energy_is_measured_only_if_the_job_asks(monkeypatch, tiny_job, log):
    measured = "its section"
    monkeypatch.setattr(energy, "measure", lambda *arguments: log.append(arguments) or measured)
    clock = Clock(1_000, 0.0)
    assert session._energy("step", "keeper", tiny_job, clock) is ABSENT
    asked = replace(tiny_job, energy=True)
    assert session._energy("step", "keeper", asked, clock) == measured
    assert log == [("step", "keeper", asked, clock)]


def test_energy_is_measured_after_the_clocks_and_before_the_profiler(pretended, log, monkeypatch):
    """A profiler slows down all later steps of its process. The evidence, taken at the end, has the steps of both."""

    def measure(*_):
        log.append("energy")
        return NoEnergy("why")

    monkeypatch.setattr(energy, "measure", measure)
    session._load().job = asked = replace(pretended, energy=True)
    found = session.run(asked, Clock(1_000, 0.0))
    assert log[log.index("clocked") :] == ["clocked", "energy", "profiled", "environment", "snapshot GPU-1"]
    assert found.energy == NoEnergy("why")


def test_sessions_with_and_without_energy_have_the_same_code():
    """Otherwise they would have different code keys, and share no row of a table."""
    assert "worker/energy.py" in imports.imported("worker/session.py")
