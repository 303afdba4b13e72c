"""The fused step on a GPU: against a reference, the same bits whatever delays or spoils it, and what it chooses."""

from __future__ import annotations

import functools
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import pytest
import torch

from runner.fused import compiled, instruments, stamps
from runner.record import bounds
from runner.runtimes._fusedstep import FusedStep
from runner.runtimes.eager import EagerStep
from runner.worker import gate, reference
from tests.support import gate_errors
from tests.support.fusedshapes import odd, of_catalogue
from tests.support.fusedsteps import (
    CP_ASYNC,
    OLDER_SHARED_BYTES,
    drive,
    eager_step,
    older_form,
    spoil_exchanges,
    spoil_shared_memory,
)
from tests.support.processes import ROOT

NO_TOKEN = -1
SHAPES = odd() | {"tiny": of_catalogue()["tiny"]}
CONTEXTS, OF_CONTEXT = (16384, 4097, 2048, 2047, 17, 16, 15, 2, 1), 8
START, STEPS, MANY = 20, 100, 2000
GREEDY = 512
POSITIONS = CONTEXTS[0] + OF_CONTEXT
SEEDS = {name: range(16) for name in SHAPES} | {"tiny": range(256)}
DELAYED_STEPS = 30
pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("_inference")]


@pytest.fixture
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@functools.cache
def prepared(name: str) -> tuple[EagerStep, FusedStep]:
    """Returns an eager step of a shape, with the cache filled, and the fused step over it."""
    step = eager_step(SHAPES[name], POSITIONS)
    step.prefill(POSITIONS)
    return step, FusedStep(step, SHAPES[name])


def prefilled(name: str, tokens: int = START) -> FusedStep:
    """Returns the fused step of a shape, with the cache's first rows as prefill leaves them."""
    step, fused = prepared(name)
    step.prefill(tokens)
    return fused


@pytest.mark.parametrize("name", SHAPES)
def test_logits_are_no_worse_than_trusted_eagers_at_any_context(name: str) -> None:
    check_logits(name, prefilled(name, POSITIONS))


def check_logits(name: str, step: FusedStep) -> None:
    """Asserts the errors of a step, whose cache is filled, at every context."""
    exact, trusted = answers(name)
    for index, ctx in enumerate(CONTEXTS):  # the longest first: poisoned rows are those from ctx on
        step.restart(ctx)
        step.poison(ctx)
        logits, _ = drive(step, ctx, OF_CONTEXT)
        at = slice(index * OF_CONTEXT, (index + 1) * OF_CONTEXT)
        error, trusted_error = worst(logits, exact[at]), worst(trusted[at], exact[at])
        ring = step.layout.shared_bytes
        print(json.dumps({"model": name, "ring": ring, "ctx": ctx, "error": error, "trusted_error": trusted_error}))
        assert error <= 1.2 * trusted_error


@functools.cache
def answers(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the reference's and trusted eager's logits at the positions from each context."""
    step = prepared(name)[0]
    positions = [ctx + i for ctx in CONTEXTS for i in range(OF_CONTEXT)]
    rows = torch.tensor(positions, device=step.tokens.sequence.device)
    exact = reference.for_model(step.model, SHAPES[name], torch.float32).logits(step.tokens.sequence, rows)
    return exact, gate.trusted_logits(step.model, step.tokens.sequence, rows)


def worst(logits: torch.Tensor, exact: torch.Tensor) -> float:
    """Returns the largest error at a position."""
    return max(gate.relative_error(*pair) for pair in zip(logits, exact, strict=True))


@pytest.mark.parametrize("name", SHAPES)
def test_the_same_steps_leave_the_same_bits(name: str) -> None:
    step = prefilled(name)
    first, tokens = drive(step, START, STEPS)
    assert torch.equal(tokens, first.argmax(dim=1))
    assert int(step.eager.position) == START + STEPS
    assert torch.equal(drive(step, START, STEPS)[0], first)
    assert torch.equal(drive(step, START + 30, 10)[0], first[30:40])  # an earlier position
    assert torch.equal(drive(step, START, STEPS)[0], first)


@pytest.mark.parametrize("name", SHAPES)
def test_the_log_has_each_steps_token_at_its_position(name: str) -> None:
    step = prefilled(name)
    log = step.launch.buffers["log"].fill_(-1)
    _, tokens = drive(step, START, STEPS)
    assert torch.equal(log[START : START + STEPS], tokens)
    assert (log == -1).sum() == POSITIONS - STEPS


@pytest.mark.parametrize("name", SHAPES)
def test_nothing_that_lay_in_memory_before_reaches_the_logits(name: str) -> None:
    step = prefilled(name)
    first, _ = drive(step, START, STEPS)
    step.poison(START)
    spoil_exchanges(step)
    spoil_shared_memory(step)
    assert first.isfinite().all()
    assert torch.equal(drive(step, START, STEPS)[0], first)


@pytest.mark.parametrize("name", SHAPES)
def test_epochs_may_wrap(name: str) -> None:
    step = prefilled(name)
    first, _ = drive(step, START, STEPS)
    launches = step.launch.buffers["launches"]
    before = launches.clone()
    launches.view(torch.uint32).fill_(2**32 // (2 * SHAPES[name].layers) - STEPS // 2)
    assert torch.equal(drive(step, START, STEPS)[0], first)
    launches.copy_(before + 1000)  # epochs behind all those before, as in a long session
    assert torch.equal(drive(step, START, STEPS)[0], first)


@pytest.mark.parametrize("name", SHAPES)
def test_many_steps_in_a_row_leave_the_same_bits(name: str) -> None:
    step = prefilled(name)
    first, tokens = drive(step, START, MANY)
    again, tokens_again = drive(step, START, MANY)
    assert torch.equal(again, first)
    assert torch.equal(tokens_again, tokens)


@pytest.mark.parametrize("name", SHAPES)
def test_delays_change_no_bit(name: str) -> None:
    plain = prefilled(name)
    expected, _ = drive(plain, START, DELAYED_STEPS)
    delayed = FusedStep(prepared(name)[0], SHAPES[name], partial(compiled.compile_step, more=instruments.DELAYS))
    errors = {}
    for seed in SEEDS[name]:
        instruments.set_seed(delayed.launch, seed)
        logits, _ = drive(delayed, START, DELAYED_STEPS)
        if not torch.equal(logits, expected):
            errors[seed] = gate.relative_error(logits, expected)
    assert errors == {}  # by seed


@pytest.mark.parametrize("name", SHAPES)
def test_greedy_tokens_are_eagers_where_the_reference_decides(name: str) -> None:
    """Eager consumes the tokens that the fused step chose: both choose by the same tokens at every position."""
    step, fused = prepared(name)
    sequence, span = step.tokens.sequence, slice(START, START + GREEDY)
    before = sequence.clone()
    first = step.prefill(START).clone()
    try:
        step.tokens.forced.fill_(False)
        _, tokens = drive(fused, START, GREEDY)
        step.tokens.forced.fill_(True)
        sequence[span] = torch.cat([first, tokens[:-1]])
        _, eagers = drive(step, START, GREEDY)
        rows = torch.arange(START, START + GREEDY, device=sequence.device)
        consumed = sequence[: START + GREEDY]
        exact = reference.for_model(step.model, SHAPES[name], torch.float32).logits(consumed, rows)
        limits = bounds.cell_bounds("bf16", "fused", "bf16", "fused", SHAPES[name].hidden)
        bound = gate_errors.bound(limits, worst(gate.trusted_logits(step.model, consumed, rows), exact))
    finally:
        step.tokens.forced.fill_(True)
        sequence.copy_(before)
    best, second = exact.topk(2, dim=1).values.T
    decided = (best - second) / exact.square().mean(dim=1).sqrt() > 2 * bound
    print(json.dumps({"model": name, "bound": bound, "decided": int(decided.sum()), "tokens": GREEDY}))
    assert decided.sum() > GREEDY / 4
    assert torch.equal(tokens[decided], eagers[decided])
    assert torch.equal(tokens[decided], exact.argmax(dim=1)[decided])


@pytest.fixture
def head() -> Iterator[torch.Tensor]:
    """Yields the head [vocab, hidden] of `tiny`, whose rows a test may change."""
    weight = prepared("tiny")[0].model.lm_head.weight
    before = weight.clone()
    yield weight
    weight.copy_(before)


def test_of_equal_logits_the_lowest_token_is_chosen(head: torch.Tensor) -> None:
    step = prefilled("tiny")
    _, (chosen,) = drive(step, START, 1)
    best, last = int(chosen), len(head) - 1
    for others in ([last], [0, last], [best // 2, 0], [best // 2]):
        kept = head[others].clone()
        head[others] = head[best].clone()
        (logits,), (token,) = drive(step, START, 1)
        assert (logits[others] == logits[best]).all()
        assert int(token) == min(best, *others)
        head[others] = kept
    head.zero_()
    assert int(drive(step, START, 1)[1]) == 0


@pytest.mark.parametrize("spoiled", [[7], [300, 7], [511, 0]])
def test_a_logit_that_is_no_number_chooses_no_token(spoiled: list[int], head: torch.Tensor) -> None:
    step = prefilled("tiny")
    head[spoiled, 0] = math.nan
    (logits,), (token,) = drive(step, START, 1)
    assert logits.isnan().nonzero().flatten().tolist() == sorted(spoiled)
    assert int(token) == NO_TOKEN


def test_the_step_after_one_that_chose_no_token_consumes_the_first(head: torch.Tensor) -> None:
    step, fused = prepared("tiny")
    sequence, forced, kept = step.tokens.sequence, step.tokens.forced, head.clone()
    before = sequence.clone()
    step.prefill(START)
    head.fill_(math.nan)
    (logits,), (token,) = drive(fused, START, 1)
    assert logits.isnan().all()
    assert int(token) == NO_TOKEN
    head.copy_(kept)
    try:
        forced.fill_(False)
        fused()
        unforced = fused.logits.clone()
        forced.fill_(True)
        sequence[START + 1] = 0
        (logits,), _ = drive(fused, START + 1, 1)
    finally:
        forced.fill_(True)
        sequence.copy_(before)
    assert torch.equal(logits, unforced)


@pytest.mark.parametrize("name", SHAPES)
def test_copies_by_lanes_leave_the_same_bits(name: str) -> None:
    """The form of older cards (copies.cuh) fills the same slots with the same bytes."""
    expected, _ = drive(prefilled(name), START, STEPS)
    older = FusedStep(prepared(name)[0], SHAPES[name], partial(compiled.compile_step, more=CP_ASYNC))
    assert torch.equal(drive(older, START, STEPS)[0], expected)


@pytest.mark.parametrize("name", SHAPES)
def test_the_form_of_older_cards_is_no_worse_at_any_context(name: str) -> None:
    """Copies by lanes, and a ring of 99 KB, which has other tiles and pieces: other bits."""
    step = prefilled(name, POSITIONS)
    with older_form() as compile_step:
        older = FusedStep(prepared(name)[0], SHAPES[name], compile_step)
    assert older.layout.shared_bytes == OLDER_SHARED_BYTES
    assert older.layout.slots <= step.layout.slots
    check_logits(name, older)


@pytest.mark.parametrize("name", SHAPES)
def test_each_phase_takes_clocks_in_each_step(name: str) -> None:
    step = prefilled(name)
    step.restart(START)
    found = {field: getattr(step.phases(), field) for field in stamps.PHASES}
    print(json.dumps({"model": name, "clocks": {field: sum(clocks) / len(clocks) for field, clocks in found.items()}}))
    assert {len(clocks) for clocks in found.values()} == {8}
    assert all(value > 0 for clocks in found.values() for value in clocks)
    step.restart(START)
    assert torch.equal(drive(step, START, STEPS)[0], drive(prefilled(name), START, STEPS)[0])


@pytest.mark.parametrize("tool", ["memcheck", "synccheck", "racecheck"])
def test_a_sanitizer_finds_nothing(tool: str) -> None:
    program = shutil.which("compute-sanitizer", path=os.pathsep.join((os.environ["PATH"], "/usr/local/cuda/bin")))
    if program is None:
        pytest.skip("hardware: needs a GPU host with compute-sanitizer")
    # cuda-bindings looks for functions that a driver may not have, which memcheck would report
    calls = ["--report-api-errors", "no"] if tool == "memcheck" else []
    options = ["--tool", tool, *calls, "--error-exitcode", "9"]
    command = [program, *options, sys.executable, "-m", "tests.support.sanitized"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
