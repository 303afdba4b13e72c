"""Whole sessions of the fused step: right on a GPU, rejected with each mutant, and failed with each planted hang."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from runner.cell import catalogue
from runner.cell.jsonform import to_json
from runner.cell.shape import ModelShape
from runner.errors import WorkerFailed
from runner.fused import compiled, stamps
from runner.job import Job
from runner.record import phases, record, spool
from runner.record.verify import recompute
from runner.runtimes import _fusedstep, eager, fused
from runner.runtimes._fusedstep import CompileStep, FusedStep
from runner.worker import session
from runner.worker.progress import Clock
from tests.support import patchedtree
from tests.support.fusedshapes import odd
from tests.support.fusedsteps import older_form
from tests.support.kernelpatches import HANGS, MUTANT_SHAPES, MUTANTS, PLACES, patched

CTX = 301  # the mutant that idles at even positions begins neither check with it
Measure = Callable[..., dict[str, Any]]


@pytest.fixture
def measure(gpu_job: Job, monkeypatch: pytest.MonkeyPatch) -> Measure:
    """A function that measures a shape with the fused step, compiled in this way, and returns the record."""

    def run(name: str, shape: ModelShape, ctx: int, compile_step: CompileStep) -> dict[str, Any]:
        monkeypatch.setattr(
            fused,
            "build",
            lambda model, tokens, job: FusedStep(eager.build(model, tokens, job), job.shape, compile_step),
        )
        words = {"kernel": "fused", "runtime": "fused", "attention": "engine", "cache": "static", "ctx": ctx}
        cell = replace(gpu_job.cell, model=name, **words)
        job = replace(gpu_job, cell=cell, model_name=name, shape=shape)
        found: dict[str, Any] = to_json(session.run(job, Clock(1_000, 0.0)))
        print(json.dumps({"model": name, "ctx": ctx, **summary(found)}))
        return found

    return run


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """Returns what a test prints of a record: times, errors of the gate, and the verdict."""
    gate = found["gate"]
    return {
        "step_wall_ms": found["latency"]["step_wall_ms"],
        "errors": {check["name"]: max(check["errors"]) for check in gate["checks"]},
        "trusted_error": gate["trusted_error"],
        "valid": found["valid"],
        "reasons": found["reasons"],
    }


@pytest.mark.gpu
def test_a_session_is_valid_and_says_how_its_kernel_was_compiled(gpu_job: Job, measure: Measure) -> None:
    found = measure("tiny", catalogue.models()["tiny"].shape, 2048, compiled.compile_step)
    assert found["valid"], found["reasons"]
    assert recompute.differences(json.loads(Path(gpu_job.record_path).read_text())) == []
    assert (found["actual"]["runtime"], found["actual"]["products_per_step"]) == ("fused", 1)
    assert found["actual"]["settings"]["spilled_bytes"] == "0"
    assert {len(clocks) for clocks in found["phases"].values()} == {8}


@pytest.mark.gpu
@pytest.mark.parametrize("name", MUTANTS)
def test_a_session_with_a_mutant_is_invalid(name: str, measure: Measure, tmp_path: Path) -> None:
    shape = MUTANT_SHAPES.get(name, "group-7")
    sources = patched(MUTANTS[name], tmp_path / "cuda")
    found = measure(shape, odd()[shape], CTX, partial(compiled.compile_step, sources=sources))
    assert not found["valid"]
    assert any(reason.startswith("gate ") for reason in found["reasons"]), found["reasons"]


@pytest.mark.gpu
@pytest.mark.parametrize("ctx", [2048, 16384])
@pytest.mark.parametrize("name", ["qwen2.5-0.5b", "qwen2.5-7b"])
def test_a_session_in_the_form_of_older_cards_is_valid(name: str, ctx: int, measure: Measure) -> None:
    with older_form() as compile_step:
        found = measure(name, catalogue.models()[name].shape, ctx, compile_step)
    assert found["valid"], found["reasons"]


@pytest.mark.gpu
@pytest.mark.parametrize("name", HANGS)
def test_a_session_with_a_hang_fails_with_the_place(name: str, tmp_path: Path) -> None:
    tree = patchedtree.make(tmp_path / "tree", HANGS[name])
    options = ("--runtime", "fused", "--model", patchedtree.MODEL, "--ctx", str(CTX), "--share-host")
    ran = patchedtree.measure(tree, *options)
    (path,) = spool.record_files(tree / "spool")
    found = record.read(path)
    print(json.dumps({"hang": name, **found["outcome"]}))
    assert ran.returncode == WorkerFailed.exit_code, ran.stdout
    assert found["outcome"]["reason"] == WorkerFailed.reason
    assert re.search(PLACES[name], found["outcome"]["message"])
    assert found["outcome"]["message"] in ran.stdout


@pytest.mark.whole
@pytest.mark.slow
def test_a_tree_with_a_planted_fault_measures_by_the_command(tmp_path: Path) -> None:
    """The same on a CPU, which has no fused step: the shape is known, and the record is found."""
    tree = patchedtree.make(tmp_path / "tree", HANGS["block-missing"])
    ran = patchedtree.measure(tree, "--gpu", "cpu", "--model", patchedtree.MODEL, "--ctx", "17", "--steps", "3")
    assert ran.returncode == 0, ran.stdout
    (path,) = spool.record_files(tree / "spool")
    found = record.read(path)
    assert (found["valid"], found["model"]["shape"]["hidden"]) == (True, patchedtree.SHAPE.hidden)


def test_a_step_is_one_launch_and_leaves_the_token_that_the_kernel_chose() -> None:
    """Nothing of the next step is enqueued: a clock that has its token back has all that was launched."""
    step: Any = object.__new__(FusedStep)
    launched: list[str] = []
    step.launch, step._chosen = lambda: launched.append("step"), torch.tensor([7])
    assert step() is step._chosen
    assert launched == ["step"]


def test_a_step_says_how_its_kernel_was_compiled() -> None:
    step: Any = object.__new__(FusedStep)
    facts = {"registers": "224"}
    step.compiled = SimpleNamespace(facts=lambda: facts)
    assert step.settings is facts


def test_the_last_eight_of_ten_instrumented_steps_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step leaves its number as the clocks of every phase."""
    step: Any = object.__new__(FusedStep)
    step.layout, step.logits = "layout", torch.zeros(1)
    launched: list[str] = []
    step._launch_of = lambda build: lambda: launched.append(build)
    monkeypatch.setattr(_fusedstep, "architecture", lambda _: "sm_90a")
    monkeypatch.setattr(_fusedstep, "compile_stamped", lambda layout, arch: f"{layout} for {arch} with stamps")
    monkeypatch.setattr(_fusedstep.instruments, "read_stamps", lambda _: [len(launched)])
    monkeypatch.setattr(_fusedstep.stamps, "clocks_by_phase", lambda read, _: dict.fromkeys(stamps.PHASES, read[0]))
    found = step.phases()
    assert launched == ["layout for sm_90a with stamps"] * 10
    assert {getattr(found, name) for name in stamps.PHASES} == {(3, 4, 5, 6, 7, 8, 9, 10)}


def test_a_session_keeps_every_phase_of_the_stamps() -> None:
    assert tuple(phases.NAMES) == stamps.PHASES
