"""A bench in this process: a right runtime has a speed, a wrong one its reasons, and each runs in its turn."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from runner import registry
from runner.bench.assignment import Assignment, Refusal
from runner.bench.result import Bench
from runner.cell import floors
from runner.cell.jsonform import from_json
from runner.cell.protocol import Protocol
from runner.errors import BadValue, OutOfMemory
from runner.runtimes import eager
from runner.worker import bench, clocks
from runner.worker.progress import Clock
from tests.support.step_mutants import RepeatsTheFirst, RunsNothing

CTX, PROTOCOL = 64, Protocol("custom", 5, 30)
DRIVEN = floors.teacher_forced_steps(CTX, PROTOCOL.warmup, PROTOCOL.steps)


@pytest.fixture
def runtimes(monkeypatch):
    """Runtimes of the test's own, name → build; each is otherwise declared as eager is."""
    own = {}
    registered = registry.runtime

    def runtime(name):
        if name not in own:
            return registered(name)
        build, declared = own[name]
        return SimpleNamespace(DECLARATION=replace(eager.DECLARATION, name=name, **declared), build=build)

    monkeypatch.setattr(registry, "runtime", runtime)
    return own


@pytest.fixture
def run(tiny_job, tmp_path):
    """A function that runs a bench of these runtimes, and returns its entries by name."""

    def measure(*names, rounds=1, refusals=()):
        jobs = tuple(
            replace(tiny_job, cell=replace(tiny_job.cell, runtime=name, cache="static"), protocol=PROTOCOL)
            for name in names
        )
        found = bench.run(Assignment(jobs, refusals, rounds, str(tmp_path / "found.json")), Clock(1_000, 0.0))
        assert from_json(Bench, json.loads((tmp_path / "found.json").read_text())) == found
        return found, {entry.runtime: entry for entry in found.entries}

    return measure


@pytest.mark.slow
def test_right_steps_have_a_speed_and_their_evidence(run, runtimes):
    runtimes["again"] = (eager.build, {})
    found, entries = run("eager", "again", rounds=2, refusals=(Refusal("graph", "needs a GPU"),))
    assert found.turns == (("eager", "again"), ("again", "eager"))
    for name in ("eager", "again"):
        entry = entries[name]
        assert entry.reasons == ()
        assert [len(each.steps_ms) for each in entry.rounds] == [30, 30]
        # short and ctx, and the last logits of each round; the tokens of every timed step
        assert [check.name for check in entry.gate.checks] == ["short", "ctx", "round 1", "round 2"]
        assert [len(tokens.chosen) for tokens in entry.gate.tokens] == [30, 30]
        assert entry.speed.least_ms <= entry.speed.step_wall_ms <= entry.speed.most_ms
    assert (entries["graph"].reasons, entries["graph"].speed) == (("needs a GPU",), None)
    assert [(ratio.over, ratio.under) for ratio in found.ratios] == [("eager", "again")]
    assert (found.floor_ms, found.bytes.weights) == (None, found.bytes.weights_measured)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mutant", "right_calls", "said"),
    [(RunsNothing, PROTOCOL.warmup, "gate short"), (RepeatsTheFirst, DRIVEN, "gate round 1")],
    ids=["in the driven steps", "in the timed steps alone"],
)
def test_a_wrong_step_has_its_reasons_and_no_speed(run, runtimes, mutant, right_calls, said):
    runtimes["wrong"] = (lambda *given: mutant(eager.build(*given), right_calls), {})
    found, entries = run("eager", "wrong")
    wrong = entries["wrong"]
    assert wrong.speed is None
    assert any(reason.startswith(said) for reason in wrong.reasons), wrong.reasons
    assert len(wrong.rounds) == 1  # its raw steps stay in the file
    assert entries["eager"].speed is not None
    assert found.ratios == ()


@pytest.mark.medium
def test_a_step_that_cannot_be_built_costs_only_its_own_runtime(run, runtimes, monkeypatch):
    def refuse(*_):
        raise BadValue("hidden=100 does not fit")

    def exhaust(*_):
        raise MemoryError

    runtimes["refused"], runtimes["large"] = (refuse, {}), (exhaust, {})
    monkeypatch.setattr(bench, "_pass", lambda *_: None)
    found, entries = run("refused", "large")
    assert entries["refused"].reasons == ("hidden=100 does not fit",)
    assert entries["large"].reasons[0].startswith("out of memory")
    assert (found.turns, found.ratios) == ((), ())
    assert {entry.gate for entry in found.entries} == {None}


@pytest.mark.medium
def test_a_compilation_in_a_round_is_a_reason(tiny_job, monkeypatch):
    """The events of a window are those of a session's passes."""
    keeper = SimpleNamespace(evidence=lambda *_, **__: None)
    section = object.__new__(bench.GateVersion2)
    monkeypatch.setattr(bench.gaterules, "gate", lambda _: section)
    for name in ("gate_reasons", "likeness_reasons"):
        monkeypatch.setattr(bench.judgement, name, lambda *_: ())
    clean = clocks.WallPass(segments=0, compiled=0, captured=0, collected=0, steps_ms=(1.0,), other_cpu_cores=0.0)
    entrant = bench.Entrant(tiny_job, None, keeper, [clean, replace(clean, compiled=2)])
    entry = bench._entry(tiny_job, SimpleNamespace(built={"eager": entrant}, cached_files=0), 0.9)
    assert entry.reasons == ("2 compilations inside the round 2 window",)
    assert entry.speed is None
    entrant.rounds.pop()
    assert bench._entry(tiny_job, SimpleNamespace(built={"eager": entrant}, cached_files=0), 0.9).speed.r_floor == 0.9
    impossible = bench._entry(tiny_job, SimpleNamespace(built={"eager": entrant}, cached_files=0), 1.1)
    assert impossible.reasons == ("r_floor 1.100 is impossible (above 1.02)",)


def test_runtimes_that_compile_are_built_first(tiny_job, runtimes, monkeypatch, log):
    """The compiler frees workspaces that a graph captured before would still write into."""
    runtimes["compiler"] = (None, {"compiles": True})
    monkeypatch.setattr(bench, "_entrant", lambda job, *_: log.append(job.cell.runtime) or job)
    jobs = [replace(tiny_job, cell=replace(tiny_job.cell, runtime=name)) for name in ("eager", "graph", "compiler")]
    assert [*bench._built(jobs, None, Clock(1_000, 0.0))] == log == ["compiler", "eager", "graph"]


def test_each_pass_is_warmed_up_timed_and_checked(tiny_job, monkeypatch, log):
    timed = SimpleNamespace(tokens=(4, 5), section="a pass")
    monkeypatch.setattr(bench.clocks, "warm_up", lambda step, ctx, warmup: log.append((step, ctx, warmup)) or 3)
    monkeypatch.setattr(bench.clocks, "wall", lambda step, steps: log.append((step, steps)) or timed)
    keeper = SimpleNamespace(check_pass=lambda *given: log.append(given))
    entrant = bench.Entrant(replace(tiny_job, protocol=PROTOCOL), "step", keeper)
    bench._pass(entrant, "round 1", Clock(1_000, 0.0))
    assert log == [("step", 64, 5), ("step", 30), ("round 1", (4, 5), 3, 30)]
    assert entrant.rounds == ["a pass"]


def test_memory_that_ends_in_a_round_ends_the_bench(tiny_job, monkeypatch):
    def exhaust(*_):
        raise MemoryError

    monkeypatch.setattr(bench, "_shared", exhaust)
    with pytest.raises(OutOfMemory):
        bench.run(Assignment((tiny_job,), (), 1, "unused"), Clock(1_000, 0.0))


@pytest.fixture
def three(tiny_job):
    """An assignment of three runtimes, each with a card of its own, and their jobs."""
    jobs = tuple(
        replace(
            tiny_job,
            model_name=f"model of {name}",
            cell=replace(tiny_job.cell, runtime=name),
            device=replace(tiny_job.device, uuid=f"card of {name}"),
        )
        for name in ("a", "b", "c")
    )
    return Assignment(jobs, (), 2, "unused")


def test_the_passes_of_a_bench_are_in_turns_over_what_the_first_job_says(three, tmp_path, monkeypatch, log):
    entrants = {job.cell.runtime: bench.Entrant(job, None, None) for job in three.jobs}
    built = {**entrants, "b": "b cannot be built"}
    shared = SimpleNamespace(weight_bytes=7)
    monkeypatch.setattr(bench.card, "check", lambda device: log.append(device.uuid))
    monkeypatch.setattr(bench.nvml, "snapshot", lambda uuid, _now: log.append(uuid) or "snapshot")
    monkeypatch.setattr(bench, "_shared", lambda job, _clock: log.append(job.model_name) or shared)
    monkeypatch.setattr(bench, "_built", lambda _jobs, parts, _clock: built if parts is shared else None)
    monkeypatch.setattr(bench, "_pass", lambda entrant, name, _clock: log.append((name, entrant.job.cell.runtime)))
    monkeypatch.setattr(bench, "_bench", lambda order, found: (order, found))
    monkeypatch.setattr(bench.result, "dump", lambda _: "the file")
    order = replace(three, result_path=str(tmp_path / "found.json"))
    _, found = bench.run(order, Clock(1_000, 0.0))
    passes = [("round 1", "a"), ("round 1", "c"), ("round 2", "c"), ("round 2", "a")]
    assert log == ["card of a", "card of a", "model of a", *passes, "card of a"]
    assert (found.built, found.turns, found.weight_bytes) == (built, (("a", "c"), ("c", "a")), 7)
    assert (tmp_path / "found.json").read_text() == "the file"


def test_the_file_describes_the_first_job(three, monkeypatch):
    monkeypatch.setattr(bench.assemble, "device_info", lambda device: device.uuid)
    found = bench.Found({}, (), None, 7, 0)
    monkeypatch.setattr(bench, "_entry", lambda job, *_: SimpleNamespace(runtime=job.cell.runtime, speed=None))
    described = bench._bench(three, found)
    assert (described.model, described.gpu) == ("model of a", "card of a")
    assert [each.runtime for each in described.entries] == ["a", "b", "c"]


def test_a_step_is_driven_over_the_short_context_and_from_ctx(tiny_job, monkeypatch, log):
    step = SimpleNamespace(prefill=lambda tokens: log.append(tokens))
    keeper = SimpleNamespace(drive=lambda context, start: log.append((context, start)))
    runtime = SimpleNamespace(DECLARATION=eager.DECLARATION, build=lambda *_: step)
    monkeypatch.setattr(registry, "runtime", lambda _: runtime)
    monkeypatch.setattr(bench.packages, "check_cell", lambda _: None)
    monkeypatch.setattr(bench, "Gatekeeper", lambda *_: keeper)
    entrant = bench._entrant(replace(tiny_job, protocol=PROTOCOL), bench.Shared(None, None, None, 0), Clock(1_000, 0.0))
    assert (entrant.step, entrant.keeper) == (step, keeper)
    assert log == [17, ("short", 17), 64, ("ctx", 64)]


def test_weights_of_a_bench_are_judged_as_synthetic_ones(tiny_job, monkeypatch, log):
    keeper = SimpleNamespace(evidence=lambda cell, hidden, synthetic: log.append((cell, hidden, synthetic)))
    monkeypatch.setattr(bench.gaterules, "gate", lambda _: object.__new__(bench.GateVersion2))
    for name in ("gate_reasons", "likeness_reasons", "window_reasons"):
        monkeypatch.setattr(bench.judgement, name, lambda *_: ())
    passed = clocks.WallPass(segments=0, compiled=0, captured=0, collected=0, steps_ms=(1.0,), other_cpu_cores=0.0)
    entrant = bench.Entrant(tiny_job, None, keeper, [passed])
    bench._entry(tiny_job, SimpleNamespace(built={"eager": entrant}, cached_files=0), None)
    assert log == [(tiny_job.cell, tiny_job.shape.hidden, True)]


@pytest.mark.parametrize(("kind", "emptied"), [("cpu", []), ("cuda", ["emptied"])])
def test_a_cards_memory_is_given_back_behind_the_reference(tiny_job, monkeypatch, log, kind, emptied):
    for module, name in ((bench.model, "build_synthetic"), (bench.tokens, "draw"), (bench.gate, "expect")):
        monkeypatch.setattr(module, name, lambda *_: None)
    monkeypatch.setattr(bench.clocks, "wait", lambda _: None)
    monkeypatch.setattr(bench.model, "weight_bytes", lambda _: 7)
    monkeypatch.setattr(bench.torch.cuda, "empty_cache", lambda: log.append("emptied"))
    job = replace(tiny_job, device=replace(tiny_job.device, kind=kind))
    assert bench._shared(job, Clock(1_000, 0.0)).weight_bytes == 7
    assert log == emptied
