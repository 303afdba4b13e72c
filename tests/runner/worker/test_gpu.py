"""What only a GPU can show, on the tiny model: the four passes, the counters, the settings."""

import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from runner import registry
from runner.cell import attention, floors
from runner.cell.jsonform import to_json
from runner.errors import Mismatch
from runner.record.verify import recompute
from runner.runtimes import graph
from runner.worker import card, environment, probes, profiling, session, windows
from runner.worker.progress import Clock
from tests import bench_overhead
from tests.support.mutants import empty_graph, kernel_on_another_stream
from tests.support.step_mutants import STEP_MUTANTS

pytestmark = pytest.mark.gpu


def test_the_card_that_torch_sees_is_the_one_that_nvml_named(gpu_job):
    card.check(gpu_job.device)
    with pytest.raises(Mismatch, match="torch computes on another one"):
        card.check(replace(gpu_job.device, uuid="GPU-00000000-aaaa-bbbb-cccc-000000000001"))


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_a_session_has_every_pass_and_they_agree(gpu_job, cache):
    found = to_json(session.run(replace(gpu_job, cell=replace(gpu_job.cell, cache=cache)), Clock(1_000, 0.0)))
    assert found["valid"], found["reasons"]
    assert recompute.differences(json.loads(Path(gpu_job.record_path).read_text())) == []
    assert {"wall", "span", "rate", "busy"} <= found["passes"].keys()
    busy = found["passes"]["busy"]
    assert all(0 < one <= whole for one, whole in zip(busy["steps_ms"], busy["span_ms"], strict=True))
    assert all(count == busy["kernels"][0] for count in busy["kernels"][1:])
    assert found["actual"]["graph_mode"] == "none"
    assert found["actual"]["attention_backend"] != "unknown"
    assert found["environment"]["synchronise"] in environment.SYNCHRONISE.values()
    assert found["environment"]["matmul_tf32"] is False


def graph_cell(job, **changes):
    return replace(job, cell=replace(job.cell, cache="static", runtime="graph", **changes))


@pytest.mark.parametrize("options", [{}, {"sdpa": "math"}])
def test_a_graph_is_one_launch_that_says_what_eager_says(gpu_job, options):
    found = to_json(session.run(graph_cell(gpu_job, options=options), Clock(1_000, 0.0)))
    assert found["valid"], found["reasons"]
    assert recompute.differences(json.loads(Path(gpu_job.record_path).read_text())) == []
    assert found["actual"]["graph_mode"] == "whole-step"
    assert found["actual"]["runtime"] == "graph"
    assert all(window["captured"] == 0 for window in found["passes"].values())


def test_what_is_declared_deterministic_repeats_itself_and_is_repeated_by_the_graph_bit_by_bit(gpu_job):
    found = to_json(session.run(graph_cell(gpu_job, options={"sdpa": "math"}), Clock(1_000, 0.0)))
    assert "math" in attention.DETERMINISTIC
    assert registry.kernel(found["cell"]["kernel"]).DECLARATION.deterministic
    for likeness in found["gate"]["eager"]:
        assert not any(likeness["repeats"])
        assert all(likeness["equal"])


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_a_compiled_session_is_valid_in_each_mode(gpu_job, mode):
    cell = replace(gpu_job.cell, cache="static", runtime="compile", options={"mode": mode})
    found = to_json(session.run(replace(gpu_job, cell=cell), Clock(1_000, 0.0)))
    assert found["valid"], found["reasons"]
    assert recompute.differences(json.loads(Path(gpu_job.record_path).read_text())) == []
    assert found["cost_s"]["compile"] > 0
    assert all(window["compiled"] == window["captured"] == 0 for window in found["passes"].values())


def test_a_kernel_that_the_graph_did_not_capture_makes_the_session_invalid(gpu_job, monkeypatch):
    build = graph.build
    with ExitStack() as planted, torch.inference_mode():

        def build_broken(model, tokens, job):
            planted.enter_context(kernel_on_another_stream(SimpleNamespace(model=model)))
            return build(model, tokens, job)

        monkeypatch.setattr(graph, "build", build_broken)
        found = to_json(session.run(graph_cell(gpu_job), Clock(1_000, 0.0)))
    # the logits are still those that the gate has spoilt
    assert any("the step that is timed is at fault (" in reason for reason in found["reasons"]), found["reasons"]


def test_an_empty_graph_ends_the_session(gpu_job, monkeypatch):
    build = graph.build
    with ExitStack() as planted, torch.inference_mode():

        def build_broken(*arguments):
            step = build(*arguments)
            planted.enter_context(empty_graph(step))
            return step

        monkeypatch.setattr(graph, "build", build_broken)
        with pytest.raises(Mismatch, match="the profile shows 0 of its matrix products"):
            session.run(graph_cell(gpu_job), Clock(1_000, 0.0))


# a replayed step that does nothing is short of launches, which the profile shows before the gate judges
SEEN_BY_THE_PROFILE = {
    "graph": "graph mode whole-step was requested, but partial ran",
    "compile": "graph mode whole-step was requested, but partial ran",
    "exllamav2": "of its matrix products per step; the layers have at least 14",
}
DO_NOTHING = ("runs-nothing", "skips-every-7th", "skips-every-7th-and-advances")
OPTIONS = {"compile": {"mode": "reduce-overhead"}}


@pytest.mark.parametrize("name", STEP_MUTANTS)
@pytest.mark.parametrize("runtime", ["eager", "graph", "compile", "exllamav2"])
def test_a_timed_step_that_cheats_makes_the_session_invalid(request, monkeypatch, runtime, name):
    """It is right for as long as the gate's own steps last; only the timed passes show it."""
    job = request.getfixturevalue("engine_job" if runtime == "exllamav2" else "gpu_job")
    if runtime != "exllamav2":
        cell = replace(job.cell, cache="static", runtime=runtime, options=OPTIONS.get(runtime, {}))
        job = replace(job, cell=cell)
    module = registry.runtime(runtime)
    build = module.build
    monkeypatch.setattr(
        module, "build", lambda *arguments: STEP_MUTANTS[name](build(*arguments), floors.GATE_MOST_STEPS)
    )
    if name in DO_NOTHING and runtime in SEEN_BY_THE_PROFILE:
        with pytest.raises(Mismatch, match=SEEN_BY_THE_PROFILE[runtime]):
            session.run(job, Clock(1_000, 0.0))
        return
    found = to_json(session.run(job, Clock(1_000, 0.0)))
    assert recompute.differences(json.loads(Path(job.record_path).read_text())) == []
    seen = {reason.split(":")[0] for reason in found["reasons"]}
    assert {"gate wall", "gate span", "gate rate", "gate busy"} <= seen, found["reasons"]


def test_an_allocation_from_the_driver_is_counted():
    with windows.watch() as window:
        held = torch.empty(2**28, dtype=torch.uint8, device="cuda")
    assert held.nbytes == 2**28
    assert window.segments >= 1


def test_a_capture_inside_a_window_is_counted():
    x = torch.ones(1024, device="cuda")
    with windows.watch() as window, torch.cuda.graph(torch.cuda.CUDAGraph()):
        x.mul_(2)
    assert window.captured == 1


def test_a_captured_step_and_a_bare_one_are_compared():
    report = bench_overhead.measure("tiny", 64, "static", "graph", rounds=bench_overhead.MINIMUM_ROUNDS)
    assert report["steps"] == bench_overhead.MINIMUM_ROUNDS * bench_overhead.ROUND_STEPS
    assert 0.5 < report["ratio"][0] < 2


def test_launches_of_a_graph_are_seen():
    x = torch.ones(1024, device="cuda")
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        x.mul_(2)
    with profiling.recorder() as recorder:
        for _ in range(3):
            profiling.mark_step()
            graph.replay()
        profiling.mark_step()
        torch.cuda.synchronize()
    profile = profiling.cut_at_marks(profiling.kernels_of(recorder))
    seen = profile.observed(profiling.graph_launches_of(recorder), profiling.copies_of(recorder))
    assert seen.graph_mode == "whole-step"
    assert [step.kernels for step in profile.steps] == [1, 1, 1]


def test_the_read_probe_stays_below_a_hundred_terabytes_and_is_steady():
    device = torch.device("cuda")
    samples = probes.read_samples_gbs(device, probes.read_bytes(device))
    assert min(samples) > 10
    assert max(samples) < 100_000
    assert max(samples) / min(samples) < 1.2


def test_a_launch_costs_microseconds():
    assert all(0.1 < sample < 1000 for sample in probes.launch_samples_us(torch.device("cuda")))


@pytest.mark.parametrize("backend", ["flash", "efficient", "cudnn", "math"])
def test_the_option_sdpa_is_obeyed_or_refused(gpu_job, backend):
    """Never another backend in its place; which ones take grouped queries depends on the card and on torch."""
    job, refusal = replace(gpu_job, cell=replace(gpu_job.cell, options={"sdpa": backend})), None
    try:
        found = to_json(session.run(job, Clock(1_000, 0.0)))
    except Mismatch as error:
        refusal = str(error)
    if refusal is not None:
        assert "no attention backend that this cell allows" in refusal
        assert backend != "math"  # it takes everything
    else:
        assert found["actual"]["attention_backend"] == backend
        assert found["valid"], found["reasons"]


@pytest.mark.slow
def test_the_energy_of_a_step_is_measured_by_the_cards_counter(tmp_path):
    """Through the command, as a user would: the counter of a data-centre card since Volta."""
    cell = ("--model", "tiny", "--ctx", "2048", "--runtime", "graph", "--cache", "static", "--where", "here")
    command = [sys.executable, "-m", "runner", "cell", "--energy", *cell, "--spool", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (printed,) = json.loads(done.stdout)["sessions"]
    assert printed["energy_unavailable"] is None
    assert printed["joules_per_token"] > 0
    found = json.loads(Path(printed["record"]).read_text())
    assert recompute.differences(found) == []
    energy = found["energy"]
    assert energy["source"] == "counter"
    assert energy["updates"] >= 100
    assert energy["uncertainty"] <= 0.01
    assert energy["steps"]["gaps_s"] < 0.2 * energy["steps"]["seconds"]
    assert energy["idle"]["joules"] / energy["idle"]["seconds"] < found["snapshots"]["before"]["power_limit_w"]
