"""The correctness gate: a fast wrong answer is not a result.

The very step object that is timed is driven over teacher-forced positions and its logits are held against an
independent reference. How much a right answer may differ is measured too: `trusted eager`, one cache-free forward of
the transformers module in the cell's dtype, errs by so much at the same positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from runner.cell.cell import Cell
from runner.cell.fieldtypes import ABSENT
from runner.cell.floors import GATE_SHORT_CTX, driven_steps, timed_positions
from runner.cell.protocol import Protocol
from runner.cell.shape import ModelShape
from runner.declarations import POISON, Step
from runner.record import bounds
from runner.record.gaterules import NOT_FINITE
from runner.record.sections.gate import Check, EvidenceVersion2, Likeness, NotFinite, Rows, Tokens
from runner.worker import reference as references
from runner.worker import tokens as drawn
from runner.worker.notfinite import ALL_FINITE

TRUSTED_TOKEN_BLOCK = 2048
SIGNIFICANT_DIGITS = 4


@dataclass(frozen=True)
class Expectation:
    """The truth for every path: reference logits [p, vocab] at sorted positions, on the host, and trusted eager's
    errors there. `finite` is whether both have finite logits at all of them; `driven` is how many steps the gate drives
    from the short context, and from ctx."""

    positions: tuple[int, ...]
    logits: torch.Tensor
    trusted: tuple[float, ...]
    finite: bool
    driven: int

    def error(self, logits: torch.Tensor, position: int) -> float:
        """Error of logits [vocab] left by the step that consumed the token at `position`."""
        return relative_error(logits, self._at(position))

    def trusted_error(self, position: int) -> float:
        return self.trusted[self.positions.index(position)]

    def margin(self, position: int) -> float:
        """How far the best logit is above the second, in root mean squares of all logits at the position."""
        logits = self._at(position)
        second = int(logits.topk(2).indices[1])
        margin = self.regret(second, position)
        return margin if margin != NOT_FINITE else 0.0

    def regret(self, token: int, position: int) -> float:
        """How far the logit of `token` is below the best, in root mean squares of all logits at the position;
        NOT_FINITE where that is no finite number, or no such token."""
        logits = self._at(position)
        if not 0 <= token < len(logits):
            return NOT_FINITE
        regret = ((logits.max() - logits[token]) / logits.square().mean().sqrt()).item()
        return _significant(regret) if math.isfinite(regret) else NOT_FINITE

    def _at(self, position: int) -> torch.Tensor:
        return self.logits[self.positions.index(position)]


def relative_error(logits: torch.Tensor, reference: torch.Tensor) -> float:
    """‖logits − reference‖ / ‖reference‖ in the reference's dtype; NOT_FINITE where that is no finite number."""
    error = ((logits.to(reference) - reference).norm() / reference.norm()).item()
    return _significant(error) if math.isfinite(error) else NOT_FINITE


def _significant(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def checked_positions(ctx: int, protocol: Protocol) -> tuple[int, ...]:
    """Returns the positions that the gate drives, from 17 and from ctx, and those of the timed steps."""
    count = driven_steps(ctx, protocol.warmup, protocol.steps)
    short = range(GATE_SHORT_CTX, GATE_SHORT_CTX + count)
    own = range(ctx, ctx + count)
    return tuple(sorted({*short, *own, *timed_positions(ctx, protocol.warmup, protocol.steps)}))


def reference_dtype(dtype: torch.dtype) -> torch.dtype:
    """float32, and float64 for cells that are float32 themselves."""
    return torch.float64 if dtype == torch.float32 else torch.float32


def expect(model: Any, shape: ModelShape, tokens: drawn.Tokens, ctx: int, protocol: Protocol) -> Expectation:
    """One reference pass and one trusted pass over prompt and trace."""
    positions = checked_positions(ctx, protocol)
    sequence = tokens.sequence[: positions[-1] + 1]
    wanted = torch.tensor(positions, device=sequence.device)
    reference = references.of(model, shape, reference_dtype(model.dtype)).logits(sequence, wanted)
    trusted = trusted_logits(model, sequence, wanted)
    errors = tuple(relative_error(own, right) for own, right in zip(trusted, reference, strict=True))
    finite = bool(reference.isfinite().all() and trusted.isfinite().all())
    count = driven_steps(ctx, protocol.warmup, protocol.steps)
    return Expectation(positions, reference.cpu(), errors, finite, count)


def trusted_logits(model: Any, sequence: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Trusted eager: sequence [n], positions [p] → [p, vocab] by the transformers module itself, without a cache."""
    with _mlp_in_token_blocks(model):
        output = model(input_ids=sequence[None], use_cache=False, logits_to_keep=positions)
    logits: torch.Tensor = output.logits[0]
    return logits


@contextmanager
def _mlp_in_token_blocks(model: Any) -> Iterator[None]:
    """Hand each MLP its tokens in blocks, so that a 16k prompt's activations stay within the gate's memory limit. An
    MLP sees one token at a time anyhow; its own forward still does all the arithmetic."""
    modules = [layer.mlp for layer in model.model.layers]
    for module in modules:
        module.forward = _blocked(module.forward)
    try:
        yield
    finally:
        for module in modules:
            del module.forward


def _blocked(forward: Any) -> Any:
    def blocked(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([forward(block) for block in x.split(TRUSTED_TOKEN_BLOCK, dim=1)], dim=1)

    return blocked


class Gatekeeper:
    """Holds one step against the expectation, and keeps what it found. `timed` are the positions of the timed steps;
    `fault` is why the expectation's own logits are not finite, None where they are."""

    def __init__(self, step: Step, expectation: Expectation, timed: range, fault: NotFinite | None = None) -> None:
        self._step, self._expectation, self._timed, self._fault = step, expectation, timed, fault
        self._first_rows: torch.Tensor | None = None
        self.checks: list[Check] = []
        self.tokens: list[Tokens] = []
        self.rows: list[Rows] = []
        self.likenesses: list[Likeness] = []

    def drive(self, name: str, start: int) -> None:
        """Steps from `start` against the reference, and against eager where the step is made of it."""
        self.checks.append(drive(name, self._step, start, self._expectation))
        if likeness := liken(name, self._step, start, self._expectation):
            self.likenesses.append(likeness)

    def after(self, name: str, chosen: Sequence[int], before: int) -> None:
        """Checks what a timed pass left: its last logits, its cache rows, and the tokens that it read back, `before`
        being the last one of the warm-up; a pass without read-back has none."""
        self.checks.append(last_logits(name, self._step, self._timed[-1], self._expectation))
        if chosen:
            self.tokens.append(tokens_of(name, self._timed, chosen, before, self._expectation))
        left = self._step.rows(self._timed.start, self._timed.stop).cpu()
        if self._first_rows is None:
            self._first_rows = left
        self.rows.append(rows_of(name, left, self._first_rows, len(self._timed)))

    def evidence(self, cell: Cell, hidden: int, synthetic: bool) -> EvidenceVersion2:
        """Returns what was compared, with the bounds of a cell whose model is `hidden` wide. `synthetic` says whether
        its weights are."""
        is_not_finite = self._fault is not None or any(map(_alone_not_finite, self.checks))
        return EvidenceVersion2(
            **bounds.of(cell.dtype, self._step.runtime, cell.quant, cell.kernel, hidden, synthetic),
            checks=tuple(self.checks),
            timed_trusted=tuple(map(self._expectation.trusted_error, self._timed)),
            tokens=tuple(self.tokens),
            rows=tuple(self.rows),
            not_finite=(self._fault or ALL_FINITE) if is_not_finite else ABSENT,
            eager=tuple(self.likenesses) or ABSENT,
        )


def _alone_not_finite(check: Check) -> bool:
    """Is the path under test not finite where trusted eager is?"""
    return any(own == NOT_FINITE != right for own, right in zip(check.errors, check.trusted, strict=True))


def drive(name: str, step: Step, start: int, expectation: Expectation) -> Check:
    """Teacher-forced steps from `start` (the cache holds the rows before it), each compared."""
    step.restart(start)
    step.spoil(start)
    positions = tuple(range(start, start + expectation.driven))
    errors = []
    for position in positions:
        step()
        errors.append(expectation.error(step.logits, position))
    return Check(name, positions, tuple(errors), tuple(map(expectation.trusted_error, positions)))


def tokens_of(name: str, timed: range, chosen: Sequence[int], before: int, expectation: Expectation) -> Tokens:
    """The tokens that the steps at the positions `timed` chose, each against the reference; `before` is the one chosen
    by the step before the first."""
    regrets = tuple(map(expectation.regret, chosen, timed))
    repeats = tuple(map(expectation.regret, (before, *chosen[:-1]), timed))
    return Tokens(name, tuple(chosen), regrets, repeats)


def rows_of(name: str, left: torch.Tensor, first: torch.Tensor, count: int) -> Rows:
    """The rows [n, tensors, values] that a pass of `count` steps left, against those that the first pass left. A row of
    a tensor that is still all `POISON` was not written."""
    written = len(left) - int((left == POISON).all(dim=2).any(dim=1).sum())
    both = min(len(left), len(first))
    own, other = left[:both].float(), first[:both].float()
    return Rows(name, count - written, _worst(own.flatten(1), other.flatten(1)), _worst(own, other))


def _worst(own: torch.Tensor, other: torch.Tensor) -> float:
    """The largest ‖own − other‖/‖other‖ along the last axis; NOT_FINITE where that is no finite number."""
    differences = (own - other).norm(dim=-1) / other.norm(dim=-1)
    worst = float(differences.max()) if differences.numel() else 0.0
    return _significant(worst) if math.isfinite(worst) else NOT_FINITE


def liken(name: str, step: Step, start: int, expectation: Expectation) -> Likeness | None:
    """Drive eager, eager again, and the step made of it over the same positions from `start`: every replay has
    another input. None for a step that is eager itself."""
    if step.eager is None:
        return None
    (first, tokens), (again, _), (own, own_tokens) = (
        _driven(each, start, expectation.driven) for each in (step.eager, step.eager, step)
    )
    positions = tuple(range(start, start + expectation.driven))
    return Likeness(
        name,
        positions,
        equal=tuple(torch.equal(*pair) for pair in zip(own, first, strict=True)),
        differences=_differences(own, first),
        repeats=_differences(again, first),
        same_token=tuple(ours == theirs for ours, theirs in zip(own_tokens, tokens, strict=True)),
        margins=tuple(map(expectation.margin, positions)),
    )


def _driven(step: Step, start: int, count: int) -> tuple[list[torch.Tensor], list[int]]:
    """The logits [vocab] that `count` steps from `start` leave, and the tokens they choose."""
    step.restart(start)
    logits, tokens = [], []
    for _ in range(count):
        tokens.append(int(step()))
        logits.append(step.logits.clone())
    return logits, tokens


def _differences(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> tuple[float, ...]:
    """‖ours − theirs‖ / ‖theirs‖ at each position, in float64."""
    return tuple(relative_error(own, other.double()) for own, other in zip(ours, theirs, strict=True))


def last_logits(name: str, step: Step, position: int, expectation: Expectation) -> Check:
    """Compare the logits that a timed pass left behind."""
    error = expectation.error(step.logits, position)
    return Check(name, (position,), (error,), (expectation.trusted_error(position),))
