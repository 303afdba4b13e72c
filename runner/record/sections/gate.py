"""The gate: every comparison with the reference, and the numbers that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from runner.cell.fieldtypes import ABSENT, Count, Integer, NotNegative, OneOf, OrAbsent, Positive, Series


@dataclass(frozen=True)
class Check:
    """A comparison with the reference."""

    name: str
    """short (from position 17), ctx, or the timed pass, or window of the wall pass, whose last logits are compared"""
    positions: Series[Count]
    """positions in the sequence"""
    errors: Series[NotNegative]
    """‖Δ‖/‖reference‖ of the path under test, one per position; 1e9 stands for not finite"""
    trusted: Series[NotNegative]
    """‖Δ‖/‖reference‖ of trusted eager at the same positions"""


@dataclass(frozen=True)
class Tokens:
    """The tokens that a timed pass read back."""

    name: str
    """the timed pass, or the window of the wall pass"""
    chosen: Series[Integer]
    """the token of each timed step"""
    regrets: Series[NotNegative]
    """the reference's best logit minus its logit of that token, in root mean squares of its logits; 1e9 stands for not
    finite or no token"""
    repeats: Series[NotNegative]
    """the regret of the previous step's token; a step that does nothing leaves that token"""
    also: OrAbsent[Series[str]] = ABSENT
    """further windows of the wall pass with the same tokens and regrets, which are not repeated; absent if there are
    none"""

    @property
    def passes(self) -> tuple[str, ...]:
        """Returns the passes and windows that read back these tokens."""
        return (self.name, *(self.also or ()))


@dataclass(frozen=True)
class Rows:
    """The rows of the KV cache that a timed pass wrote."""

    name: str
    """the timed pass, or the window of the wall pass"""
    unwritten: Count
    """number of timed steps that wrote no row"""
    difference: NotNegative
    """‖Δ‖/‖row‖ from the first pass's row, the largest of all steps; 1e9 stands for not finite"""
    of_tensor: OrAbsent[NotNegative] = ABSENT
    """‖Δ‖/‖row‖ of a single tensor's row, the largest of all tensors and steps"""


@dataclass(frozen=True)
class Likeness:
    """A comparison of a step built from the eager step with that eager step, over the same cache."""

    name: str
    """short (from position 17) or ctx"""
    positions: Series[Count]
    """positions in the sequence"""
    equal: Series[bool]
    """whether the logits are bitwise equal"""
    differences: Series[NotNegative]
    """‖Δ‖/‖eager‖ of the logits; 1e9 stands for not finite"""
    repeats: Series[NotNegative]
    """‖Δ‖/‖eager‖ of a second eager run: the run-to-run difference of eager"""
    same_token: Series[bool]
    """whether the step chose the same token as eager"""
    margins: Series[NotNegative]
    """the reference's best logit minus its second best, in root mean squares of its logits"""


@dataclass(frozen=True)
class NotFinite:
    """The cause of logits that are not finite; absent if all are finite, and in older records."""

    tensor: str | None
    """the first weight, in the model's order, that is NaN or infinite; null if all weights are finite"""
    value: Annotated[str, OneOf(("NaN", "inf", "-inf"))] | None
    """the value in that weight"""
    how: Annotated[str, OneOf(("stored", "converted", "dequantised"))] | None
    """origin of the value: stored in the checkpoint, or a result of conversion to the cell's dtype or of
    dequantisation"""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The comparisons with the reference, and their limits."""

    cap: Positive
    """‖Δ‖/‖reference‖ that no session of this dtype may exceed"""
    checks: Series[Check]
    """all comparisons with the reference"""
    eager: OrAbsent[Series[Likeness]] = ABSENT
    """comparisons of a step built from the eager step (graph, compile) with that eager step, over the same cache"""
    not_finite: OrAbsent[NotFinite] = ABSENT


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The numbers that follow from the evidence."""

    trusted_error: NotNegative
    """largest error of trusted eager"""
    error: NotNegative
    """largest error of the path under test"""
    bound: NotNegative
    """limit of an error at the position where trusted eager's error is largest; version 1:
    min(3 x trusted_error, cap), never below noise"""
    ratio: OrAbsent[NotNegative | None] = ABSENT
    """geometric mean of error / trusted error, the larger of the means at ctx 17 and at ctx"""
    regret: OrAbsent[NotNegative | None] = ABSENT
    """largest regret of a token, as a share of its limit"""
    repeatable: OrAbsent[NotNegative | None] = ABSENT
    """share of the timed steps at which the previous step's token would pass, too"""


@dataclass(frozen=True, kw_only=True)
class Gate(Findings, Evidence):
    """The gate: whether the answers are correct."""


@dataclass(frozen=True, kw_only=True)
class EvidenceVersion1(Evidence):
    """The evidence of gate version 1, which judged the largest error alone."""

    noise: Positive
    """gate version 1: the bound is never below this"""


@dataclass(frozen=True, kw_only=True)
class GateVersion1(EvidenceVersion1, Gate):
    """The gate of version 1: it judged the largest error alone."""


@dataclass(frozen=True, kw_only=True)
class EvidenceVersion2(Evidence):
    """The evidence of gate version 2, which checked every timed step."""

    gate_version: Annotated[int, OneOf((2,))]
    """version of the gate's rules; a record without it is of version 1"""
    stated_ratio: Positive
    """largest ratio of error to trusted error in correct sessions of this dtype, kernel and runtime"""
    stated_spread: NotNegative
    """largest standard deviation of that ratio's logarithm over positions in those sessions"""
    checkpoint_spread: NotNegative
    """upper limit of the session's own spread, which counts instead of a smaller stated_spread for a checkpoint's
    weights; 0 for synthetic weights"""
    dtype_ratio: Positive
    """stated_ratio of the dtype alone; a session that exceeds it is flagged imprecise"""
    dtype_spread: NotNegative
    """stated_spread of the dtype alone"""
    regret_limit: Positive
    """limit of a token's regret, in multiples of the error allowed at its position"""
    timed_trusted: Series[NotNegative]
    """‖Δ‖/‖reference‖ of trusted eager at the position of each timed step"""
    tokens: Series[Tokens]
    """the tokens that each timed pass read back, against the reference"""
    rows: Series[Rows]
    """the rows of the KV cache that each timed pass wrote"""


@dataclass(frozen=True, kw_only=True)
class GateVersion2(EvidenceVersion2, Gate):
    """The gate of version 2: it checked every timed step, and compared errors with trusted eager's."""
