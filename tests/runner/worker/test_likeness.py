"""Steps made of the eager one go through session, gate and verify: each is compared with eager, bit by bit."""

import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
import torch

from runner.cell import floors
from runner.cell.jsonform import to_json
from runner.job import Job
from runner.record.verify import recompute
from runner.runtimes import eager
from runner.runtimes.compile import CompiledStep
from runner.worker import session
from runner.worker.progress import Clock
from tests.support.derive import judge
from tests.support.records import example_record, of_gate_version_1

pytestmark = pytest.mark.usefixtures("quick_probe")

BOUND, STEPS = 0.1, floors.GATE_MOST_STEPS


class Replayed:
    """Eager's step in other clothes, as a graph's replay would be; `poison` changes its logits."""

    runtime = "eager"
    settings = MappingProxyType({})

    def __init__(self, step, poison):
        self.eager, self._spoil = step, poison
        self.prefill, self.restart, self.rows, self.poison = step.prefill, step.restart, step.rows, step.poison

    @property
    def cache_kind(self):
        return self.eager.cache_kind

    def __call__(self):
        chosen = self.eager()
        self.logits = self._spoil(self.eager.logits)
        return chosen


class Compiled(CompiledStep):
    """The real one, in a cell of the CPU, where no request can ask for it."""

    runtime = "eager"


@pytest.fixture
def measure(tiny_job, monkeypatch):
    """A function that runs a static session whose eager step is made into another."""
    Path(tiny_job.record_path).parent.mkdir()
    build = eager.build

    def run(made, **cell) -> dict:
        job: Job = replace(tiny_job, cell=replace(tiny_job.cell, cache="static", **cell))
        monkeypatch.setattr(eager, "build", lambda *arguments: made(build(*arguments)))
        return to_json(session.run(job, Clock(1_000, 0.0)))

    return run


@pytest.mark.slow
def test_a_replay_leaves_eagers_bits(measure):
    found = measure(lambda step: Replayed(step, lambda logits: logits))
    assert [each["name"] for each in found["gate"]["eager"]] == ["short", "ctx"]
    for each in found["gate"]["eager"]:
        assert all(each["equal"])
        assert all(each["same_token"])
        assert set(each["differences"]) == set(each["repeats"]) == {0.0}
        assert len(each["margins"]) == STEPS


@pytest.mark.slow
def test_another_bit_is_seen(measure):
    found = measure(lambda step: Replayed(step, lambda logits: logits * (1 + 2**-7)))
    assert not any(found["gate"]["eager"][0]["equal"])
    assert found["gate"]["eager"][0]["differences"][0] == pytest.approx(2**-7, rel=0.2)


def graph_record(attention="flash", **likeness):
    """A graph session's record, its likeness at ctx changed."""
    ones = {
        "equal": [True] * STEPS,
        "differences": [0.0] * STEPS,
        "repeats": [0.0] * STEPS,
        "same_token": [True] * STEPS,
    }
    each = [
        {"name": name, "positions": list(range(start, start + STEPS)), **ones, "margins": [0.5] * STEPS}
        for name, start in (("short", 17), ("ctx", 2048))
    ]
    each[1] |= likeness
    found = example_record(cell={"runtime": "graph", "cache": "static"})
    found["gate"]["eager"] = each
    found["actual"] |= {"runtime": "graph", "graph_mode": "whole-step", "graph_launches_per_step": 1.0}
    found["actual"]["attention_backend"] = attention
    judge(found)
    return found


def test_a_graph_whose_bits_are_eagers_is_valid():
    found = graph_record()
    assert found["valid"], found["reasons"]
    assert recompute.differences(json.loads(json.dumps(found))) == []


def test_a_graph_with_other_bits_is_not_where_the_kernel_is_deterministic():
    found = graph_record(equal=[True] * (STEPS - 1) + [False], differences=[0.0] * (STEPS - 1) + [1e-3])
    assert found["reasons"] == [
        "eager ctx: 1 of 32 steps have other logits than eager's (by 0.001), though cublas and flash attention are "
        "deterministic"
    ]


@pytest.mark.medium
def test_a_graph_over_a_kernel_that_is_not_deterministic_keeps_within_the_bound(monkeypatch):
    from runner.kernels import cublas

    monkeypatch.setattr(cublas, "DECLARATION", replace(cublas.DECLARATION, deterministic=False))
    other = {"equal": [False] * STEPS}
    bound = graph_record()["gate"]["bound"]
    assert graph_record(**other, differences=[bound] * STEPS)["valid"]
    assert not graph_record(**other, differences=[bound * 1.01] * STEPS)["valid"]


def test_nor_must_it_leave_eagers_bits_over_an_attention_that_is_not_deterministic():
    other = {"equal": [False] * STEPS, "differences": [1e-3] * STEPS}
    assert graph_record("cudnn", **other)["valid"]
    assert not graph_record("efficient", **other)["valid"]


def compiled_record(**likeness):
    found = graph_record(**likeness)
    found["cell"] |= {"runtime": "compile", "options": {"mode": "reduce-overhead"}}
    judge(found)
    return found


def test_a_compiled_step_may_choose_another_token_only_where_the_reference_is_undecided():
    """Its regret, or eager's, is at least the margin, and may be 7 · 1.017 · 0.0118 = 0.084."""
    other = {"equal": [False] * STEPS, "differences": [0.01] * STEPS, "same_token": [False, *[True] * (STEPS - 1)]}
    assert compiled_record(**other, margins=[0.0840, *[9.0] * (STEPS - 1)])["valid"]
    assert compiled_record(**other, margins=[0.0841, *[9.0] * (STEPS - 1)])["reasons"] == [
        "eager ctx: another token than eager's, though the reference's margin is too wide for rounding"
    ]


@pytest.mark.medium
def test_logits_of_kernels_of_its_own_may_be_further_from_eagers_than_the_bound():
    bound = compiled_record()["gate"]["bound"]
    other = {"equal": [False] * STEPS, "differences": [2 * bound] * STEPS}
    assert compiled_record(**other)["reasons"] == []


def test_a_session_of_gate_version_1_keeps_its_own_margin_and_its_own_words():
    """Its reasons are stored, and must follow again: twice the bound, 2 · 3 · 0.0118 = 0.0708."""
    other = {"equal": [False] * STEPS, "differences": [0.01] * STEPS, "same_token": [False, *[True] * (STEPS - 1)]}
    found = of_gate_version_1(compiled_record(**other, margins=[0.0707, *[9.0] * (STEPS - 1)]))
    assert found["valid"], found["reasons"]
    found["gate"]["eager"][1]["margins"][0] = 0.0709
    judge(found)
    assert found["reasons"] == [
        "eager ctx: another token than eager's, though the reference's margin is twice the bound"
    ]


def test_a_record_without_the_comparison_is_refused():
    found = graph_record()
    del found["gate"]["eager"]
    judge(found)
    assert any("gate.eager" in line for line in recompute.differences(found))


def test_an_eager_record_with_one_is_refused():
    found = graph_record()
    found["cell"]["runtime"] = "eager"
    assert any("gate.eager" in line for line in recompute.differences(found))


@pytest.mark.whole
@pytest.mark.slow
def test_a_compiled_step_says_what_eager_says_and_compiles_once(measure):
    """The real torch.compile, on the CPU: kernels of its own, without a CUDA graph."""
    found = measure(lambda step: Compiled(step, "default"))
    likeness = found["gate"]["eager"][1]
    assert max(likeness["differences"]) < BOUND
    assert max(check["errors"][0] for check in found["gate"]["checks"]) < BOUND
    assert found["passes"]["wall"]["compiled"] == 0


@pytest.mark.whole
@pytest.mark.slow
def test_a_compiled_step_shows_its_last_logits(measure):
    with torch.inference_mode():
        steps = []
        measure(lambda step: steps.append(Compiled(step, "default")) or steps[0])
        steps[0].restart(17)
        steps[0]()
        assert int(steps[0].logits.argmax()) == int(steps[0].eager.chosen)
