"""The correctness gate: a fast wrong answer is not a result.

The timed step object itself is driven with teacher forcing, and its logits are compared with an independent reference.
The tolerance is measured: it is the error, at the same positions, of `trusted eager`, one cache-free forward of the
transformers module in the cell's dtype.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from runner.cell.floors import GATE_SHORT_CTX, teacher_forced_steps, timed_positions
from runner.cell.protocol import Protocol
from runner.cell.shape import ModelShape
from runner.declarations import POISON, Step
from runner.record.gaterules import NOT_FINITE
from runner.record.sections.gate import Check, Likeness, Rows, Tokens
from runner.worker import reference as references
from runner.worker import tokens as session_tokens

TRUSTED_TOKEN_BLOCK = 2048
SIGNIFICANT_DIGITS = 4


@dataclass(frozen=True)
class Expectation:
    """Reference logits and trusted eager's errors, on the host, for every path."""

    positions: tuple[int, ...]
    """sorted"""
    logits: torch.Tensor
    """the reference's, [p, vocab]"""
    trusted: tuple[float, ...]
    """error of trusted eager at each position"""
    finite: bool
    """whether reference and trusted eager have finite logits at all positions"""
    driven: int
    """number of steps that the gate drives from the short context, and from ctx"""

    def error(self, logits: torch.Tensor, position: int) -> float:
        """Returns the error of logits [vocab] left by the step that consumed the token at `position`."""
        return relative_error(logits, self._at(position))

    def trusted_error(self, position: int) -> float:
        return self.trusted[self.positions.index(position)]

    def margin(self, position: int) -> float:
        """Returns the best logit minus the second best, in root mean squares of all logits at the position."""
        logits = self._at(position)
        second = int(logits.topk(2).indices[1])
        margin = self.regret(second, position)
        return margin if margin != NOT_FINITE else 0.0

    def regret(self, token: int, position: int) -> float:
        """Returns the best logit minus that of `token`, in root mean squares of all logits at the position.

        Returns NOT_FINITE if the result is not finite, or the token is not in the vocabulary.
        """
        logits = self._at(position)
        if not 0 <= token < len(logits):
            return NOT_FINITE
        regret = ((logits.max() - logits[token]) / logits.square().mean().sqrt()).item()
        return _significant(regret) if math.isfinite(regret) else NOT_FINITE

    def _at(self, position: int) -> torch.Tensor:
        return self.logits[self.positions.index(position)]


def relative_error(logits: torch.Tensor, reference: torch.Tensor) -> float:
    """Returns ‖logits − reference‖ / ‖reference‖ in the reference's dtype; NOT_FINITE if it is not finite."""
    error = ((logits.to(reference) - reference).norm() / reference.norm()).item()
    return _significant(error) if math.isfinite(error) else NOT_FINITE


def _significant(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def checked_positions(ctx: int, protocol: Protocol) -> tuple[int, ...]:
    """Returns the positions that the gate drives, from 17 and from ctx, and those of the timed steps."""
    count = teacher_forced_steps(ctx, protocol.warmup, protocol.steps)
    short = range(GATE_SHORT_CTX, GATE_SHORT_CTX + count)
    full = range(ctx, ctx + count)
    return tuple(sorted({*short, *full, *timed_positions(ctx, protocol.warmup, protocol.steps)}))


def reference_dtype(dtype: torch.dtype) -> torch.dtype:
    """Returns float64 for float32 cells, float32 for all others."""
    return torch.float64 if dtype == torch.float32 else torch.float32


def expect(model: Any, shape: ModelShape, tokens: session_tokens.Tokens, ctx: int, protocol: Protocol) -> Expectation:
    """Runs one reference pass and one trusted pass over prompt and trace."""
    positions = checked_positions(ctx, protocol)
    sequence = tokens.sequence[: positions[-1] + 1]
    rows = torch.tensor(positions, device=sequence.device)
    reference = references.for_model(model, shape, reference_dtype(model.dtype)).logits(sequence, rows)
    trusted = trusted_logits(model, sequence, rows)
    errors = tuple(relative_error(logits, exact) for logits, exact in zip(trusted, reference, strict=True))
    finite = bool(reference.isfinite().all() and trusted.isfinite().all())
    count = teacher_forced_steps(ctx, protocol.warmup, protocol.steps)
    return Expectation(positions, reference.cpu(), errors, finite, count)


def trusted_logits(model: Any, sequence: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Returns trusted eager's logits [p, vocab] at positions [p] of the sequence [n].

    They come from one forward of the transformers module without a cache.
    """
    with _mlp_in_token_blocks(model):
        output = model(input_ids=sequence[None], use_cache=False, logits_to_keep=positions)
    logits: torch.Tensor = output.logits[0]
    return logits


@contextmanager
def _mlp_in_token_blocks(model: Any) -> Iterator[None]:
    """Passes tokens through each MLP in blocks, to keep a 16k prompt's activations within the gate's memory limit.

    An MLP treats tokens separately, and its own forward still does the arithmetic.
    """
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


def drive(name: str, step: Step, start: int, expectation: Expectation) -> Check:
    """Compares teacher-forced steps from `start` with the reference. The cache must hold the earlier rows."""
    step.restart(start)
    step.poison(start)
    positions = tuple(range(start, start + expectation.driven))
    errors = []
    for position in positions:
        step()
        errors.append(expectation.error(step.logits, position))
    return Check(name, positions, tuple(errors), tuple(map(expectation.trusted_error, positions)))


def compare_tokens(name: str, timed: range, chosen: Sequence[int], before: int, expectation: Expectation) -> Tokens:
    """Compares the tokens chosen at the positions `timed` with the reference.

    `before` is the token chosen by the step before the first one.
    """
    regrets = tuple(map(expectation.regret, chosen, timed))
    repeats = tuple(map(expectation.regret, (before, *chosen[:-1]), timed))
    return Tokens(name, tuple(chosen), regrets, repeats)


def compare_rows(name: str, rows: torch.Tensor, first_rows: torch.Tensor, count: int) -> Rows:
    """Compares the rows [n, tensors, values] that a pass of `count` steps left with those of the first pass.

    A row is unwritten if it is still all `POISON` in one of the tensors.
    """
    written = len(rows) - int((rows == POISON).all(dim=2).any(dim=1).sum())
    common = min(len(rows), len(first_rows))
    later, first = rows[:common].float(), first_rows[:common].float()
    return Rows(name, count - written, _worst(later.flatten(1), first.flatten(1)), _worst(later, first))


def _worst(later: torch.Tensor, first: torch.Tensor) -> float:
    """Returns the largest ‖later − first‖/‖first‖ along the last axis; NOT_FINITE if it is not finite."""
    differences = (later - first).norm(dim=-1) / first.norm(dim=-1)
    worst = float(differences.max()) if differences.numel() else 0.0
    return _significant(worst) if math.isfinite(worst) else NOT_FINITE


def compare_with_eager(name: str, step: Step, start: int, expectation: Expectation) -> Likeness | None:
    """Drives eager, eager again, and the step made of it over the same positions from `start`.

    Every replay has another input. Returns None for a step that is eager itself.
    """
    if step.eager is None:
        return None
    (first, tokens), (again, _), (logits, step_tokens) = (
        _drive_and_record(driven, start, expectation.driven) for driven in (step.eager, step.eager, step)
    )
    positions = tuple(range(start, start + expectation.driven))
    return Likeness(
        name,
        positions,
        equal=tuple(torch.equal(*pair) for pair in zip(logits, first, strict=True)),
        differences=_differences(logits, first),
        repeats=_differences(again, first),
        same_token=tuple(token == eager_token for token, eager_token in zip(step_tokens, tokens, strict=True)),
        margins=tuple(map(expectation.margin, positions)),
    )


def _drive_and_record(step: Step, start: int, count: int) -> tuple[list[torch.Tensor], list[int]]:
    """Returns the logits [vocab] that `count` steps from `start` leave, and the tokens that they choose."""
    step.restart(start)
    logits, tokens = [], []
    for _ in range(count):
        tokens.append(int(step()))
        logits.append(step.logits.clone())
    return logits, tokens


def _differences(logits: list[torch.Tensor], baseline: list[torch.Tensor]) -> tuple[float, ...]:
    """Returns ‖logits − baseline‖ / ‖baseline‖ at each position, in float64."""
    return tuple(relative_error(step, eager.double()) for step, eager in zip(logits, baseline, strict=True))


def last_logits(name: str, step: Step, position: int, expectation: Expectation) -> Check:
    """Compares the last logits of a timed pass with the reference."""
    error = expectation.error(step.logits, position)
    return Check(name, (position,), (error,), (expectation.trusted_error(position),))
