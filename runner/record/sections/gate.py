"""The gate: every comparison with the reference, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from runner.cell.fieldtypes import ABSENT, Count, Integer, NotNegative, OneOf, OrAbsent, Positive, Series


@dataclass(frozen=True)
class Check:
    """One comparison with the reference."""

    name: str
    """short (from position 17), ctx, or the timed pass that left the logits"""
    positions: Series[Count]
    """positions in the sequence"""
    errors: Series[NotNegative]
    """‖Δ‖/‖reference‖ of the path under test, one per position; 1e9 stands for not finite"""
    trusted: Series[NotNegative]
    """‖Δ‖/‖reference‖ of trusted eager at the same positions"""


@dataclass(frozen=True)
class Tokens:
    """The tokens that one timed pass read back."""

    name: str
    """the timed pass"""
    chosen: Series[Integer]
    """the token of each timed step"""
    regrets: Series[NotNegative]
    """reference: best logit minus the logit of that token, in root mean squares of its logits; 1e9 stands for not
    finite or no token"""
    repeats: Series[NotNegative]
    """the same of the token of the step before, which a step that does nothing would leave"""


@dataclass(frozen=True)
class Rows:
    """The rows of the KV cache that one timed pass left."""

    name: str
    """the timed pass"""
    unwritten: Count
    """timed steps without a row of their own"""
    difference: NotNegative
    """‖Δ‖/‖row‖ against the first pass, the worst of the steps; 1e9 stands for not finite"""
    of_tensor: OrAbsent[NotNegative] = ABSENT
    """the same of a single tensor's row, the worst"""


@dataclass(frozen=True)
class Likeness:
    """A step made of the eager one against that eager step, over the same cache."""

    name: str
    """short (from position 17) or ctx"""
    positions: Series[Count]
    """positions in the sequence"""
    equal: Series[bool]
    """are the logits the same bits"""
    differences: Series[NotNegative]
    """‖Δ‖/‖eager‖ of the logits; 1e9 stands for not finite"""
    repeats: Series[NotNegative]
    """the same of eager driven a second time: its run-to-run difference"""
    same_token: Series[bool]
    """is the chosen token eager's"""
    margins: Series[NotNegative]
    """reference: best logit minus second, in root mean squares of its logits"""


@dataclass(frozen=True)
class NotFinite:
    """why logits are not finite; absent where all are, and in older records."""

    tensor: str | None
    """the first weight, in the model's order, that is NaN or infinite; null where every one is finite"""
    value: Annotated[str, OneOf(("NaN", "inf", "-inf"))] | None
    """what it holds"""
    how: Annotated[str, OneOf(("stored", "converted", "dequantised"))] | None
    """stored so, or finite until it was converted to the cell's dtype or dequantised"""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The comparisons with the reference, and the limits that they are held to."""

    cap: Positive
    """‖Δ‖/‖ref‖ that no session of this dtype may exceed"""
    checks: Series[Check]
    """all comparisons with the reference"""
    eager: OrAbsent[Series[Likeness]] = ABSENT
    """a step made of the eager one (graph, compile) against that eager step, over the same cache"""
    not_finite: OrAbsent[NotFinite] = ABSENT


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The numbers that follow from the evidence."""

    trusted_error: NotNegative
    """worst error of trusted eager"""
    error: NotNegative
    """worst error of the path under test"""
    bound: NotNegative
    """the most that one error may be at the position where trusted eager errs most; version 1:
    min(3 x trusted_error, cap), never below noise"""
    ratio: OrAbsent[NotNegative | None] = ABSENT
    """geometric mean of error / trusted error at ctx 17 or at ctx, the larger"""
    regret: OrAbsent[NotNegative | None] = ABSENT
    """the largest regret of a token, as a share of what it may be"""
    repeatable: OrAbsent[NotNegative | None] = ABSENT
    """share of the timed steps at which the token of the step before would pass, too"""


@dataclass(frozen=True, kw_only=True)
class Gate(Findings, Evidence):
    """Is the answer right."""


@dataclass(frozen=True, kw_only=True)
class EvidenceVersion1(Evidence):
    """The evidence of sessions whose worst error alone was judged."""

    noise: Positive
    """gate version 1: the bound is never tighter than this"""


@dataclass(frozen=True, kw_only=True)
class GateVersion1(EvidenceVersion1, Gate):
    """The worst error alone was judged."""


@dataclass(frozen=True, kw_only=True)
class EvidenceVersion2(Evidence):
    """The evidence of sessions whose every timed step was checked."""

    gate_version: Annotated[int, OneOf((2,))]
    """which rules the session was judged by; a record without it is of version 1"""
    stated_ratio: Positive
    """the largest ratio of error to trusted error that honest sessions of this dtype, kernel and runtime reach"""
    stated_spread: NotNegative
    """standard deviation of that ratio's logarithm over positions, the largest seen"""
    checkpoint_spread: NotNegative
    """up to this the spread that a checkpoint's session shows itself counts instead of the stated one; 0 for synthetic
    weights"""
    dtype_ratio: Positive
    """stated_ratio of the dtype alone; a session that needs more is flagged imprecise"""
    dtype_spread: NotNegative
    """stated_spread of the dtype alone"""
    regret_limit: Positive
    """the most that a token's regret may be, in multiples of the error allowed at its position"""
    timed_trusted: Series[NotNegative]
    """‖Δ‖/‖reference‖ of trusted eager at the position of each timed step"""
    tokens: Series[Tokens]
    """the tokens that each timed pass read back, against the reference"""
    rows: Series[Rows]
    """the rows of the KV cache that each timed pass left"""


@dataclass(frozen=True, kw_only=True)
class GateVersion2(EvidenceVersion2, Gate):
    """Every timed step was checked, and errors were held against trusted eager's."""
