"""Planted mutants of whole steps: each skips, replays or delays what a timed step should do, and is fast for it.

They are wrapped around the step of any runtime, outside the worker's sources. The first calls after each `restart` are
right, so that a warm-up shows nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from runner.cell.protocol import NAMED
from runner.declarations import Step

EVERY, PAPER = 7, NAMED["paper"]


class Mutant:
    """A step that does its work only where a subclass says so; whatever else it is asked, the right step answers. While
    it is not `active` it is right."""

    active = True

    def __init__(self, step: Step, right_calls: int) -> None:
        self._right, self._right_calls, self._calls, self._start = step, right_calls, 0, 0
        self._token = torch.zeros(1, dtype=torch.int64)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._right, name)

    def restart(self, position: int) -> None:
        self._calls, self._start = 0, position
        self._right.restart(position)

    def __call__(self) -> torch.Tensor:
        self._calls += 1
        if self._is_right():
            self._token = self._right().clone()
            return self._token
        return self.wrong()

    def _is_right(self) -> bool:
        return not self.active or self._calls <= self._right_calls

    def wrong(self) -> torch.Tensor:
        raise NotImplementedError


class RunsNothing(Mutant):
    """Leaves logits, token and cache as the warm-up left them."""

    def wrong(self) -> torch.Tensor:
        return self._token


class SkipsSome(Mutant):
    """Does nothing at every seventh step, not even advance."""

    def wrong(self) -> torch.Tensor:
        if self._calls % EVERY:
            self._token = self._right().clone()
        return self._token


class SkipsSomeAndAdvances(Mutant):
    """Computes nothing at every seventh step, and goes on to the next position."""

    def wrong(self) -> torch.Tensor:
        if self._calls % EVERY:
            self._token = self._right().clone()
        else:
            self._right.restart(self._start + self._calls)
        return self._token


class ReplaysTheLast(Mutant):
    """Runs the last step of the pass again and again: the logits that the pass leaves look right."""

    def wrong(self) -> torch.Tensor:
        self._right.restart(self._start + PAPER.warmup + PAPER.steps - 1)
        return self._right().clone()


class RepeatsTheFirst(Mutant):
    """Runs the first timed step again and again."""

    def wrong(self) -> torch.Tensor:
        self._right.restart(self._start + self._right_calls)
        return self._right().clone()


class LeavesTheStepBefore(Mutant):
    """Works one step behind: it leaves the logits and the token of the step before."""

    def __init__(self, step: Step, right_calls: int) -> None:
        super().__init__(step, right_calls)
        self.logits = step.logits

    def poison(self, position: int) -> None:
        self._right.poison(position)
        self.logits = self._right.logits

    def __call__(self) -> torch.Tensor:
        before, token = self._right.logits.clone(), self._token
        self._calls += 1
        self._token = self._right().clone()
        self.logits = self._right.logits if self._is_right() else before
        return self._token if self._is_right() else token


STEP_MUTANTS: dict[str, Callable[[Step, int], Mutant]] = {
    "runs-nothing": RunsNothing,
    "skips-every-7th": SkipsSome,
    "skips-every-7th-and-advances": SkipsSomeAndAdvances,
    "replays-the-last-step": ReplaysTheLast,
    "repeats-the-first-step": RepeatsTheFirst,
    "leaves-the-step-before": LeavesTheStepBefore,
}
