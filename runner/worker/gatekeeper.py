"""The gatekeeper of a session: drives its step, checks what each timed pass leaves, and collects the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from runner.cell.cell import Cell
from runner.cell.fieldtypes import ABSENT
from runner.declarations import Step
from runner.record import bounds
from runner.record.gaterules import NOT_FINITE
from runner.record.sections.gate import Check, EvidenceVersion2, Likeness, NotFinite, Rows, Tokens
from runner.worker import gate
from runner.worker.notfinite import ALL_FINITE


class Gatekeeper:
    """Compares one step with the expectation, and collects the results.

    `timed` are the positions of the timed steps. `fault` is the reason that the expectation's own logits are not
    finite, None if they are.
    """

    def __init__(self, step: Step, expectation: gate.Expectation, timed: range, fault: NotFinite | None = None) -> None:
        self._step, self._expectation, self._timed, self._fault = step, expectation, timed, fault
        self._first_rows: torch.Tensor | None = None
        self.checks: list[Check] = []
        self.tokens: list[Tokens] = []
        self.rows: list[Rows] = []
        self.likenesses: list[Likeness] = []

    def drive(self, name: str, start: int) -> None:
        """Compares steps from `start` with the reference, and with eager if the step is made of it."""
        self.checks.append(gate.drive(name, self._step, start, self._expectation))
        if likeness := gate.compare_with_eager(name, self._step, start, self._expectation):
            self.likenesses.append(likeness)

    def check_pass(self, name: str, chosen: Sequence[int], before: int, steps: int, is_window: bool = False) -> None:
        """Checks the last logits, cache rows and tokens of a timed pass of `steps` steps.

        `chosen` are the tokens that it read back, empty for a pass without read-back. `before` is the last token of the
        warm-up. `is_window` is whether it is a window of a pass with several. The tokens of these are nearly always the
        same, and are then kept once.
        """
        timed = self._timed[:steps]
        self.checks.append(gate.last_logits(name, self._step, timed[-1], self._expectation))
        if chosen:
            found = gate.compare_tokens(name, timed, chosen, before, self._expectation)
            self.tokens = _with_window(self.tokens, found) if is_window else [*self.tokens, found]
        rows = self._step.rows(timed.start, timed.stop).cpu()
        if self._first_rows is None:
            self._first_rows = rows
        self.rows.append(gate.compare_rows(name, rows, self._first_rows, steps))

    def check_repeated(self, name: str, tokens: Sequence[int], before: int) -> None:
        """Checks a pass that ran over the timed positions several times: at each position the token, among all that
        were chosen there, with the largest regret."""
        places = range(len(self._timed))
        chosen = ({*tokens[place :: len(places)]} for place in places)
        worst = (
            max(sorted(found), key=partial(self._regret, position))
            for found, position in zip(chosen, self._timed, strict=True)
        )
        self.check_pass(name, tuple(worst), before, len(self._timed))

    def _regret(self, position: int, token: int) -> float:
        return self._expectation.regret(token, position)

    def evidence(self, cell: Cell, hidden: int, synthetic: bool) -> EvidenceVersion2:
        """Returns all comparisons, and the bounds of the cell.

        `hidden` is the width of its model. `synthetic` is whether its weights are synthetic.
        """
        is_not_finite = self._fault is not None or any(map(_step_alone_not_finite, self.checks))
        return EvidenceVersion2(
            **bounds.cell_bounds(cell.dtype, self._step.runtime, cell.quant, cell.kernel, hidden, synthetic),
            checks=tuple(self.checks),
            timed_trusted=tuple(map(self._expectation.trusted_error, self._timed)),
            tokens=tuple(self.tokens),
            rows=tuple(self.rows),
            not_finite=(self._fault or ALL_FINITE) if is_not_finite else ABSENT,
            eager=tuple(self.likenesses) or ABSENT,
        )


def _with_window(windows: Sequence[Tokens], found: Tokens) -> list[Tokens]:
    """Returns the tokens of the windows and of one more. A window with the tokens of an earlier one adds its name
    there."""
    for place, earlier in enumerate(windows):
        if replace(found, name=earlier.name, also=earlier.also) == earlier:
            joined = replace(earlier, also=(*(earlier.also or ()), found.name))
            return [*windows[:place], joined, *windows[place + 1 :]]
    return [*windows, found]


def _step_alone_not_finite(check: Check) -> bool:
    """Returns whether the step is not finite at a position at which trusted eager is finite."""
    return any(error == NOT_FINITE != trusted for error, trusted in zip(check.errors, check.trusted, strict=True))
