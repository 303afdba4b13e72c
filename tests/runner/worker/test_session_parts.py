"""The parts of a session one by one: what is measured in which order, and what of it goes where in the record."""

import io
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from runner.cell import floors
from runner.cell.fieldtypes import ABSENT
from runner.errors import Mismatch, MissingPackage, OutOfMemory
from runner.record import record
from runner.record.sections.head import MeasuredKeys
from runner.record.sections.passes import Passes, Prefill
from runner.record.sections.surroundings import Probes, Snapshots
from runner.worker import assemble, clocks, session, timing, tokens
from runner.worker.assemble import Findings
from runner.worker.progress import Clock, report_error
from tests.fakes.cuda import Cuda
from tests.support.derive import typed
from tests.support.records import cpu_record

CPU, GPU = torch.device("cpu"), torch.device("cuda")
MIB = 2**20


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


@pytest.mark.parametrize(("cold", "warm"), [(300, 100), (100, 300)])
def test_the_first_prefill_is_the_cold_one_and_each_ends_with_its_token_on_the_host(cuda, tiny_job, cold, warm):
    cuda.launch("what came before", 50 * 10**6)  # waited for before the clock starts
    timed = timing.prefill(Prompt(cuda, cold, warm), tiny_job.cell.ctx, GPU, Clock(1_000))
    assert timed == Prefill(cold_ms=cold + 1.0, ms=warm + 1.0)
    assert cuda.calls == ["synchronise", "prefill 64", "read back"] * 2


@pytest.fixture
def log():
    return []


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
        "_peak_bytes": 1,
    }.items():
        monkeypatch.setattr(session, name, says(name, answer))
    monkeypatch.setattr(session.assemble, "measured", lambda found, _clock: found)
    monkeypatch.setattr(session.record, "write", lambda *_: None)
    monkeypatch.setattr(session.environment, "environment", says("environment", None))
    for name in ("prefill", "passes"):
        monkeypatch.setattr(session.timing, name, says(name, None))
    monkeypatch.setattr(session.card, "check", says("card", None))
    monkeypatch.setattr(session.nvml, "snapshot", snapshot)
    keeper = SimpleNamespace(drive=lambda name, start: log.append(f"drive {name} {start}"))
    monkeypatch.setattr(session, "Gatekeeper", lambda *_: keeper)
    return job


def test_snapshots_of_the_card_stand_before_and_after_all_that_is_measured(pretended, log):
    found = session.run(pretended, Clock(1_000))
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
        "passes",
        "_peak_bytes",
        "environment",
        "snapshot GPU-1",
    ]
    assert found.snapshots == Snapshots(before=2, after=13)
    assert found.probes == "speeds"


class Keeper:
    def __init__(self, log):
        self.log = log

    def drive(self, name, start):
        self.log.append(f"drive {name} {start}")

    def check_pass(self, name, chosen, before):
        self.log.append(("after", name, chosen, before))

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
        def measure(_step, protocol, *_device):
            log.append(name)
            chosen = () if name == "rate" else (7, 8)
            section = (name, protocol.steps)
            return SimpleNamespace(section=section, tokens=chosen, profile=profile, observed=f"observed by {name}")

        return measure

    for name in ("wall", "span", "rate", "busy"):
        monkeypatch.setattr(clocks, name, clock(name))
    monkeypatch.setattr(timing.profiling, "operators_of", lambda _step, ctx: f"operators at {ctx}")
    monkeypatch.setattr(timing.actual, "describe", lambda _job, observed, _step: observed)


def measured(job, device, log):
    step = SimpleNamespace(restart=lambda position: log.append(f"restart {position}"))
    on_device = replace(job, device=replace(job.device, kind=device.type))
    return timing.passes(step, Keeper(log), on_device, Clock(1_000))


def of_pass(name, clock, before, chosen=(7, 8)):
    return ["warm up 64 5", clock, ("after", name, chosen, before)]


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
    assert log == [*of_pass("wall", "wall", 100), "drive ctx 64", *of_pass("revisit", "wall", 101), *end(False)]
    assert found.passes == Passes(wall=("wall", 30), revisit=("wall", 30))
    assert (found.kernels, found.actual) == ((), "operators at 64")


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


EXAMPLE = typed(cpu_record())


def findings(job, **changes):
    """The findings of a session whose sections are those of an example."""
    timed = timing.Timed(EXAMPLE.passes, (), EXAMPLE.actual, EXAMPLE.gate)
    sections = {name: getattr(EXAMPLE, name) for name in ("snapshots", "probes", "prefill", "memory", "environment")}
    return Findings(**{"job": job, "weight_bytes": 222, "timed": timed, **sections, **changes})


def test_accounted_and_measured_bytes_go_where_they_belong(monkeypatch, tiny_job):
    monkeypatch.setattr(assemble.registry, "weight_bytes", lambda *_: 111)
    clock = Clock(1_000)
    clock.seconds |= {"prefill": 1.0, "steps": 2.0}
    made = assemble.measured(findings(tiny_job), clock)
    assert (made.bytes.weights, made.bytes.weights_measured) == (111, 222)
    assert not made.valid
    assert made.reasons == ("weights take 222 bytes on the device, accounted 111",)
    assert made.memory == EXAMPLE.memory
    assert made.environment == EXAMPLE.environment


def test_a_cards_peak_is_torchs(monkeypatch):
    Memory(monkeypatch).now = 5
    assert session._peak_bytes(GPU) == 900 * MIB


def test_a_cpus_peak_is_the_most_that_this_process_has_held():
    lines = Path("/proc/self/status").read_text().splitlines()
    kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    assert session._peak_bytes(CPU) == pytest.approx(kibibytes * 1024, rel=0.015)


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


def test_facts_of_a_card_are_its_own(monkeypatch, tiny_job):
    properties = SimpleNamespace(total_memory=80, major=9, minor=0, L2_cache_size=50)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: properties)
    card = assemble._device(replace(tiny_job.device, kind="cuda"))
    assert (card.last_level_cache_bytes, card.memory_bytes, card.compute_capability) == (50, 80, "9.0")
    processor = assemble._device(tiny_job.device)
    assert (processor.key, processor.memory_bytes, processor.compute_capability) == ("cpu", ABSENT, ABSENT)


@pytest.mark.parametrize(("compiles", "phase"), [(False, "build"), (True, "compile")])
def test_what_is_held_is_noted_after_the_kernel_and_after_the_step(monkeypatch, tiny_job, log, compiles, phase):
    declared = SimpleNamespace(compiles=compiles, owns_model=False)
    runtime = SimpleNamespace(DECLARATION=declared, build=lambda *_: log.append("step built") or "step")
    monkeypatch.setattr(session.registry, "runtime", lambda _name: runtime)
    monkeypatch.setattr(session.model, "use_kernel", lambda _model, kernel: log.append(kernel))
    clock = Clock(1_000)
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
    session._build(loaded, SimpleNamespace(note=lambda _: None), Clock(1_000))
    assert log == []


def test_the_cost_is_by_phase_and_in_all_from_the_commands_start(monkeypatch, tiny_job):
    """The command began 5 s ago."""
    monkeypatch.setattr(assemble.codekey, "code_key", lambda: "code")
    monkeypatch.setattr(assemble.codekey, "tree_key", lambda: "tree")
    monkeypatch.setattr(assemble.host, "host_id", lambda uuid: f"host of {uuid}")
    started_ms = int((time.time() - 5) * 1e3)
    job = replace(
        tiny_job,
        session=replace(tiny_job.session, started_ms=started_ms),
        device=replace(tiny_job.device, uuid="GPU-1"),
    )
    clock = Clock(started_ms)
    clock.seconds = {"build": 1.23456, "prefill": 1.0, "steps": 2.0}
    made = assemble.measured(findings(job), clock)
    env_key = record.env_key(EXAMPLE.environment)
    assert made.keys == MeasuredKeys(job.cell.key, "code", "tree", env_key, host_id="host of GPU-1")
    assert made.outcome.status == "measured"
    assert made.cost_s.build == 1.235
    assert 5 <= made.cost_s.total < 60
    assert made.cost_s.fixed == pytest.approx(made.cost_s.total - 3.0)
    assert 5_000 <= made.session.finished_ms - started_ms < 60_000


def test_a_phase_that_comes_again_adds_up_under_its_name(monkeypatch, capsys):
    moments = iter([1.0, 3.0, 10.0, 14.0])
    clock = Clock(1_000)
    monkeypatch.setattr("runner.worker.progress.time", SimpleNamespace(perf_counter=lambda: next(moments)))
    for announce in ("measure: wall", None):
        with clock.phase("steps", announce):
            pass
    assert clock.seconds["steps"] == 6.0  # 2 s and 4 s
    assert capsys.readouterr().out == "@phase measure: wall\n"


def test_a_phase_that_fails_is_timed_too(monkeypatch):
    @contextmanager
    def failing():
        with pytest.raises(ValueError, match="now"):
            yield

    moments = iter([1.0, 3.0])
    clock = Clock(1_000)
    monkeypatch.setattr("runner.worker.progress.time", SimpleNamespace(perf_counter=lambda: next(moments)))
    with failing(), clock.phase("load"):
        raise ValueError("now")
    assert clock.seconds["load"] == 2.0


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried\nmore"),
            OutOfMemory,
            "out of memory: CUDA out of memory. Tried",
        ),
        (MemoryError(), OutOfMemory, "out of memory: host memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            OutOfMemory,
            "out of memory",
        ),
        (
            RuntimeError("No available kernel. Aborting execution."),
            Mismatch,
            "no attention backend that this cell allows",
        ),
        (RuntimeError("Invalid backend"), Mismatch, "no attention backend that this cell allows"),
        (RuntimeError("something else"), RuntimeError, "something else"),
    ],
)
def test_what_torch_raises_is_an_error_of_the_family_where_it_is_known(raised, kind, said):
    with pytest.raises(kind) as caught, session._torch_errors():
        raise raised
    assert type(caught.value) is kind
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_package_that_is_not_whole_is_missing_and_anything_else_is_a_bug():
    declared = SimpleNamespace(package="autoawq", name="autoawq-triton", remedy="pip install it")
    said = r"package autoawq of autoawq-triton is incomplete .*: pip install it"
    with pytest.raises(MissingPackage, match=said), session._import_errors(declared):
        raise ImportError("No module named triton")
    with (
        pytest.raises(ImportError, match="No module named ours"),
        session._import_errors(SimpleNamespace(package=None)),
    ):
        raise ImportError("No module named ours")


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


def test_what_is_said_reaches_the_parent_at_once(monkeypatch):
    """Standard output is a pipe, which Python would keep until it is full."""

    class Pipe(io.StringIO):
        flushed = ""

        def flush(self):
            self.flushed = self.getvalue()

    pipe = Pipe()
    monkeypatch.setattr("sys.stdout", pipe)
    Clock(1_000).say("load")
    assert pipe.flushed == "@phase load\n"
    report_error("a-reason", 3, "what was wrong")
    assert pipe.flushed.splitlines()[1].startswith("@error {")
