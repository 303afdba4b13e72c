"""Instrumented builds: the host reads what instruments.cuh lays out, and on a GPU a step's trace is its tape."""

from functools import partial

import pytest
import torch

from runner.fused import compiled, copytrace, geometry, instruments, stamps
from tests.support import cubins
from tests.support.cudasources import enumerators, members
from tests.support.fusedshapes import H200, odd, of_catalogue
from tests.support.fusedsteps import fused_step

SHAPES = {**of_catalogue(), **odd()}
BUILDS = {"STAMPS": ["stamps"], "DELAYS": ["delay_seed"], "TRACE": ["traced", "traced_copies", "multiplied"]}


def test_the_words_of_a_traced_copy_are_in_the_kernels_order() -> None:
    assert members("Traced", "instruments.cuh") == list(copytrace.Traced.__dataclass_fields__)


def test_the_phases_are_in_the_kernels_order() -> None:
    assert enumerators("Phase", "plan.cuh") == [name.upper() for name in (*copytrace.PHASES, "phases")]


@pytest.mark.slow
@pytest.mark.parametrize("instrument", BUILDS)
def test_an_instrumented_build_has_the_variables_that_the_host_asks_for(instrument: str) -> None:
    layout = geometry.choose(of_catalogue()["tiny"], H200)
    instrumented = compiled.compile_step(layout, "sm_90a", getattr(instruments, instrument))
    assert instrumented.spilled_bytes == 0
    assert set(BUILDS[instrument]) <= cubins.variables(instrumented.code)
    assert not {name for names in BUILDS.values() for name in names} & cubins.variables(cubins.product())
    assert cubins.machine_code(cubins.product()) != cubins.machine_code(instrumented.code)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "qwen2.5-7b" else pytest.mark.nvrtc) for name in of_catalogue()]
)
def test_the_build_that_a_session_takes_stamps_from_does_not_spill(name: str) -> None:
    layout = geometry.choose(of_catalogue()[name], H200)
    assert compiled.compile_step(layout, "sm_90a", instruments.STAMPS).spilled_bytes == 0


@pytest.mark.gpu
@torch.no_grad()
@pytest.mark.parametrize("name", SHAPES)
def test_a_steps_copies_and_products_are_those_of_the_tape(name: str) -> None:
    step = fused_step(SHAPES[name], partial(compiled.compile_step, more=instruments.TRACE), 400)
    for tokens in (1, 300):
        step.restart(tokens)
        found = instruments.trace_step(step.launch)
        layout = step.launch.geometry
        assert copytrace.differences(found, layout, instruments.addresses(step.launch), tokens)[:5] == []
        assert instruments.read_work(step.launch) == copytrace.expected_work(layout, tokens)


@pytest.mark.gpu
@torch.no_grad()
def test_every_block_leaves_a_stamp_at_each_place() -> None:
    step = fused_step(SHAPES["tiny"], partial(compiled.compile_step, more=instruments.STAMPS), 400)
    step.restart(20)
    step()
    layout = step.launch.geometry
    found = torch.tensor(instruments.read_stamps(step.launch)).view(layout.blocks, layout.shape.layers + 1, -1)
    of_layers, outside = found[:, :-1, :10], found[:, -1, :4]
    for each in (of_layers, outside):
        assert (each > 0).all()
        assert (each.diff(dim=-1) > 0).all()
    clocks = stamps.clocks_by_phase(found.flatten().tolist(), layout)
    assert sum(clocks.values()) >= int(outside[0, 3] - outside[0, 0]) / 2
    assert all(value > 0 for value in clocks.values())
