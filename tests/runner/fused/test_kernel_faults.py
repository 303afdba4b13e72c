"""Planted faults of the fused kernel's sources: each is in the machine code, and on a GPU the gate rejects each mutant
and each hang ends with the place where a warp waited."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from runner.cell import floors
from runner.cell.protocol import NAMED
from runner.fused import compiled, geometry
from runner.record import bounds, gaterules
from runner.runtimes._fusedstep import CompileStep, FusedStep
from runner.runtimes.eager import EagerStep
from runner.worker import gate
from tests.support import cubins, gate_errors
from tests.support.fusedshapes import H200, odd, of_catalogue
from tests.support.fusedsteps import eager_step, older_form
from tests.support.gate_errors import checked
from tests.support.kernelpatches import HANGS, MUTANT_SHAPES, MUTANTS, PLACES, Patch, patched

CTX, PROTOCOL = 301, NAMED["paper"]  # the mutant that idles at even positions begins neither check with it
FAULTS = MUTANTS | HANGS
COMPILED_ALWAYS = {next(iter(MUTANTS)), next(iter(MUTANT_SHAPES)), next(iter(HANGS))}
"""A fault of each kind; `make test-nvrtc` compiles them all."""


@pytest.mark.parametrize("name", FAULTS)
def test_a_patch_fits_the_sources_once(name: str, tmp_path: Path) -> None:
    folder = patched(FAULTS[name], tmp_path / "cuda")
    changed = [file.name for file in folder.iterdir() if file.read_text() != (compiled.SOURCES / file.name).read_text()]
    assert changed == [FAULTS[name].file]


def test_a_patch_that_no_longer_fits_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"step\.cu has 0 times 'no such text': adapt the patch"):
        patched(Patch("step.cu", "no such text", ""), tmp_path / "cuda")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in COMPILED_ALWAYS else pytest.mark.nvrtc) for name in FAULTS]
)
def test_a_planted_fault_is_in_the_machine_code(name: str, tmp_path: Path) -> None:
    layout = geometry.choose(of_catalogue()["tiny"], H200)
    made = compiled.compile_step(layout, "sm_90a", sources=patched(FAULTS[name], tmp_path / "cuda"))
    assert cubins.machine_code(made.code) != cubins.machine_code(cubins.product())
    assert made.spilled_bytes == 0


@pytest.fixture
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@functools.cache
def prepared(name: str) -> tuple[EagerStep, gate.Expectation, dict[str, Any]]:
    """Returns an eager step of a shape, what the gate expects of one, and the gate's limits."""
    shape = odd()[name]
    step = eager_step(shape, floors.kv_alloc_tokens(CTX, PROTOCOL.warmup, PROTOCOL.steps))
    expectation = gate.expect(step.model, shape, step.tokens, CTX, PROTOCOL)
    return step, expectation, bounds.cell_bounds("bf16", "fused", "bf16", "fused", shape.hidden)


def tried(mutant: str | None, shape: str, compile_step: CompileStep) -> bool:
    """Returns whether the gate rejects the kernel compiled so, and prints errors and limits as a line of JSON."""
    step, expectation, limits = prepared(shape)
    built = FusedStep(step, odd()[shape], compile_step)
    found = checked(built, CTX, expectation, limits)
    allowed = {
        "bound": gate_errors.bound(limits, max(expectation.trusted)),
        "ratio_limit": gaterules.limit(limits["stated_ratio"], limits["stated_spread"], expectation.driven),
    }
    ring = built.layout.shared_bytes
    print(json.dumps({"mutant": mutant, "model": shape, "ring": ring, "ctx": CTX, **found, **allowed}))
    return bool(found["rejected"])


@pytest.mark.gpu
@pytest.mark.usefixtures("_inference")
@pytest.mark.parametrize("shape", ["group-7", "five-pieces"])
def test_the_gate_accepts_the_product(shape: str) -> None:
    assert not tried(None, shape, compiled.compile_step)


@pytest.mark.gpu
@pytest.mark.usefixtures("_inference")
@pytest.mark.parametrize("name", MUTANTS)
def test_the_gate_rejects_each_mutant(name: str, tmp_path: Path) -> None:
    sources = patched(MUTANTS[name], tmp_path / "cuda")
    assert tried(name, MUTANT_SHAPES.get(name, "group-7"), partial(compiled.compile_step, sources=sources))


@pytest.mark.gpu
@pytest.mark.usefixtures("_inference")
@pytest.mark.parametrize("shape", ["group-7", "five-pieces"])
def test_the_gate_accepts_the_form_of_older_cards(shape: str) -> None:
    with older_form() as compile_step:
        assert not tried(None, shape, compile_step)


@pytest.mark.gpu
@pytest.mark.usefixtures("_inference")
@pytest.mark.parametrize("name", MUTANTS)
def test_the_gate_rejects_each_mutant_in_the_form_of_older_cards(name: str, tmp_path: Path) -> None:
    with older_form(patched(MUTANTS[name], tmp_path / "cuda")) as compile_step:
        assert tried(name, MUTANT_SHAPES.get(name, "group-7"), compile_step)


@pytest.mark.gpu
@pytest.mark.parametrize("name", HANGS)
def test_a_hang_ends_with_the_place_where_a_warp_waited(name: str) -> None:
    """In a process of its own, because a hang ends its process's use of the GPU."""
    command = [sys.executable, "-m", "tests.support.hungstep", name]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    print(json.dumps({"hang": name, **found}))
    assert found["error"] in ("AcceleratorError", "RuntimeError")
    assert re.search(PLACES[name], found["stuck"])
