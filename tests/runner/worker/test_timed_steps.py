"""Steps of each kind go through the clocks and the gate: what skips, replays or delays one is seen by each clock."""

from dataclasses import replace

import pytest
import torch
from scipy import stats

from runner.cell import catalogue, floors
from runner.cell.cell import Cell
from runner.cell.protocol import NAMED
from runner.declarations import POISON
from runner.record import bounds, gaterules
from runner.record.sections.gate import Rows
from runner.runtimes.compile import CompiledStep
from runner.runtimes.eager import EagerStep, StepOverEager
from runner.worker import caches, clocks, gate, model, reference, tokens
from runner.worker.gatekeeper import Gatekeeper
from tests.support.step_mutants import STEP_MUTANTS

CTX = 64
PROTOCOL = NAMED["paper"]
DEVICE = torch.device("cpu")
TIMED = floors.timed_positions(CTX, PROTOCOL.warmup, PROTOCOL.steps)
LIMIT = bounds.read_data("bounds.yaml")["regret_limit"]
CELL = Cell("cpu", "tiny", CTX, "bf16", "torch-cpu", "eager", "sdpa", "static", "bf16", "synthetic-v1", {})


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def prepared():
    shape = catalogue.models()["tiny"].shape
    with torch.inference_mode():
        built = model.build_synthetic(model.Build(shape, "bf16", None, torch.bfloat16, DEVICE))
        drawn = tokens.draw(shape.vocab, floors.sequence_tokens(CTX, 5, 30), 0, DEVICE)
        return built, drawn, gate.expect(built, shape, drawn, CTX, PROTOCOL)


class ReplayingStep(StepOverEager):
    """Eager's step as a CUDA graph would replay it: its logits lie in one buffer, which each replay overwrites."""

    runtime = "eager"

    def __init__(self, step):
        super().__init__(step)
        self.logits = step.logits.clone()

    def __call__(self):
        self._step()
        self.logits.copy_(self._step.logits)
        return self._chosen


KINDS = {
    "eager-dynamic": ("dynamic", lambda step: step),
    "eager-static": ("static", lambda step: step),
    "replaying": ("static", ReplayingStep),
    "compile": ("static", lambda step: CompiledStep(step, "default")),
}


OF_A_GPU = ("compile",)
"""Kinds of which no session on a CPU has a step; compiling one here takes half a minute."""


@pytest.fixture(
    scope="module", params=[pytest.param(kind, marks=pytest.mark.whole if kind in OF_A_GPU else ()) for kind in KINDS]
)
def step(request, prepared):
    """A right step of each kind that a CPU can have, its cache filled to ctx."""
    built, drawn, _ = prepared
    cache, made = KINDS[request.param]
    with torch.inference_mode():
        eager = EagerStep(built, caches.make(cache, built, floors.kv_alloc_tokens(CTX, 5, 30)), drawn)
        eager.prefill(CTX)
        found = made(eager)
        found.prefill(CTX)
    return found


def judged(step, expectation, passes):
    """The gate's section after passes by the host's clocks, as far as it follows from them, and its reasons."""
    keeper = Gatekeeper(step, expectation, TIMED)
    for name, measure in passes.items():
        before = clocks.warm_up(step, CTX, PROTOCOL.warmup)
        keeper.check_pass(name, measure(step).tokens, before, PROTOCOL.steps)
    found = gaterules.gate(keeper.evidence(CELL, 128, synthetic=True))
    assert found.error == max(check.errors[0] for check in keeper.checks)
    return found, list(gaterules.reasons(replace(found, trusted_error=max(expectation.trusted))))


def wall(step):
    return clocks.wall(step, PROTOCOL.steps)


def rate(step):
    return clocks.rate(step, PROTOCOL.steps, DEVICE)


@pytest.mark.slow
def test_a_right_step_passes_by_every_clock(step, prepared):
    found, reasons = judged(step, prepared[2], {"wall": wall, "rate": rate})
    assert reasons == []
    assert [each.name for each in found.tokens] == ["wall"]
    assert found.rows == tuple(Rows(name, unwritten=0, difference=0.0, of_tensor=0.0) for name in ("wall", "rate"))
    assert gaterules.worst_regret(found) < 0.5
    assert gaterules.repeatable(found) < gaterules.REPEATABLE_LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("name", STEP_MUTANTS)
def test_a_step_that_cheats_is_seen_by_the_tokens_that_were_read_back(step, prepared, name):
    right, _ = judged(step, prepared[2], {"wall": wall})
    found, reasons = judged(STEP_MUTANTS[name](step, PROTOCOL.warmup), prepared[2], {"wall": wall})
    assert any("chose a token that the reference does not" in reason for reason in reasons), reasons
    # its largest regret is twice what it may be, or more; by chance a few of its wrong tokens are nearly right
    allowed = gaterules.allowed_regrets(found)
    ours, theirs = found.tokens[0], right.tokens[0].chosen
    wrong = [
        regret / most
        for regret, most, token, other in zip(ours.regrets, allowed, ours.chosen, theirs, strict=True)
        if token != other
    ]
    assert max(wrong) >= 2
    assert sum(each <= 1 for each in wrong) <= gaterules.REPEATABLE_LIMIT * len(allowed)


@pytest.mark.slow
@pytest.mark.parametrize("name", STEP_MUTANTS)
def test_a_step_that_cheats_is_seen_where_nothing_is_read_back(step, prepared, name):
    """The wall pass before it was right, and its logits and rows must not pass for those of the rate pass."""
    mutant = STEP_MUTANTS[name](step, PROTOCOL.warmup)
    mutant.active = False

    def cheating_rate(_):
        mutant.active = True
        return rate(mutant)

    _, reasons = judged(mutant, prepared[2], {"wall": wall, "rate": cheating_rate})
    assert reasons
    assert all(reason.startswith("gate rate: ") for reason in reasons)


@pytest.mark.medium
def test_rows_that_nobody_has_written_are_told_from_those_that_were(step):
    step.prefill(CTX)
    step.restart(CTX)
    step.poison(CTX)
    for _ in range(3):
        step()
    left = step.rows(CTX, CTX + 5)
    assert left.shape[1:] == (4, 64)  # keys and values of two layers, two heads of 32
    assert gate.compare_rows("wall", left, left, 5).unwritten == 2
    assert not (left[:3] == POISON).all(dim=2).any()


@pytest.mark.medium
def test_spoilt_rows_behind_the_position_change_nothing(step):
    """A masked row's weight is exactly 0, and the poison is finite."""
    step.prefill(CTX)
    first = step().clone(), step.logits.clone()
    step.restart(CTX)
    step.poison(CTX)
    second = step().clone(), step.logits.clone()
    assert torch.equal(first[1], second[1])


@pytest.mark.medium
def test_an_honest_session_is_rejected_less_than_once_in_ten_thousand():
    """Trusted eager's own tokens over 1100 positions, extrapolated to a tail session's 300 steps.

    The errors of two logits differ by √2 of one's, so a regret beyond z errors is as rare as |N(0, √2)| > z, times the
    share of positions whose best logits lie close. That share is taken from the regrets beyond one error, at its upper
    95 % limit.
    """
    shape = catalogue.models()["tiny"].shape
    built = model.build_synthetic(model.Build(shape, "bf16", None, torch.bfloat16, DEVICE))
    sequence = tokens.draw(shape.vocab, 1120, 0, DEVICE).sequence
    positions = torch.arange(20, 1120)
    right = reference.for_model(built, shape, torch.float32).logits(sequence, positions)
    trusted = gate.trusted_logits(built, sequence, positions)
    errors = [gate.relative_error(own, true) for own, true in zip(trusted, right, strict=True)]
    expectation = gate.Expectation(tuple(range(20, 1120)), right, tuple(errors), True, 1)
    chosen = trusted.argmax(dim=1).tolist()
    regrets = [
        expectation.regret(token, position) / error
        for token, position, error in zip(chosen, expectation.positions, errors, strict=True)
    ]
    beyond = sum(regret > 1 for regret in regrets)
    share = stats.beta.ppf(0.95, beyond + 1, len(regrets) - beyond) / (2 * stats.norm.sf(1 / 2**0.5))
    false = 300 * share * 2 * stats.norm.sf(LIMIT / 2**0.5)
    assert max(regrets) < LIMIT
    assert false < 1e-4, (false, beyond, max(regrets))
