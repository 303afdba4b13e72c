"""The rules of the correctness gate, by version: the numbers that follow from its evidence, and what makes a session
invalid.

Version 2 checks every timed step, and holds the errors against trusted eager's by their ratio; version 1 held the worst
error against three times trusted eager's. A record is judged by the version that it states (docs/methodology.md, "The
gate").
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from runner.cell.fieldtypes import known
from runner.record.sections.gate import (
    Check,
    Evidence,
    EvidenceVersion1,
    EvidenceVersion2,
    Findings,
    Gate,
    GateVersion1,
    GateVersion2,
    Tokens,
)

VERSION = 2
NOT_FINITE = 1e9  # stands for an error that is NaN or infinite: JSON has neither
DEVIATIONS = 5
"""A limit lies so many standard errors above the largest ratio of an honest path."""
DRIVEN = ("short", "ctx")
REPEATABLE_LIMIT = 0.1
TENSOR_LIMIT = 0.5
"""A tensor's row that differs by half of itself is another row."""


def version(evidence: Evidence) -> int:
    """Returns the version of the rules that a session's gate was made by."""
    return VERSION if isinstance(evidence, EvidenceVersion2) else 1


def limit(ratio: float, spread: float, count: int) -> float:
    """Returns the most that the geometric mean of error/trusted error may be over `count` positions, for a path whose
    honest sessions reach `ratio`. `spread` is the standard deviation of the ratio's logarithm over single positions."""
    return ratio * math.exp(DEVIATIONS * spread / math.sqrt(count))


def spread(errors: Sequence[float], trusted: Sequence[float]) -> float:
    """Returns the standard deviation of the logarithm of error/trusted error; 0 where fewer than two have one."""
    logarithms = list(_logarithms(errors, trusted))
    return stdev(logarithms) if len(logarithms) > 1 else 0.0


def ratio(errors: Sequence[float], trusted: Sequence[float]) -> float:
    """Returns the geometric mean of error/trusted error.

    NOT_FINITE if one of them is not finite or a trusted error is 0. An error of exactly 0 is left out: it would make
    the mean 0 whatever the others are.
    """
    if NOT_FINITE in (*errors, *trusted) or not all(trusted):
        return NOT_FINITE
    logarithms = list(_logarithms(errors, trusted))
    return math.exp(mean(logarithms)) if logarithms else 0.0


def _logarithms(errors: Sequence[float], trusted: Sequence[float]) -> Iterator[float]:
    return (math.log(own / right) for own, right in zip(errors, trusted, strict=False) if own and right)


def findings(evidence: Evidence) -> Findings:
    """Returns the numbers that follow from a gate's evidence."""
    trusted_error = max(max(check.trusted) for check in evidence.checks)
    return Findings(
        trusted_error=trusted_error,
        error=max(max(check.errors) for check in evidence.checks),
        bound=bound(evidence, trusted_error),
        ratio=worst_ratio(evidence),
        regret=worst_regret(evidence),
        repeatable=repeatable(evidence),
    )


def gate(evidence: Evidence) -> GateVersion1 | GateVersion2:
    """Returns the record's section of a gate: its evidence, and all that follows from it."""
    kind = GateVersion2 if isinstance(evidence, EvidenceVersion2) else GateVersion1
    own = {name: value for name, value in vars(evidence).items() if name not in Findings.__dataclass_fields__}
    return kind(**own, **vars(findings(evidence)))


def worst_ratio(evidence: Evidence) -> float | None:
    """Returns the larger of the ratios at the short context and at ctx; None for version 1, which has none."""
    if version(evidence) < VERSION:
        return None
    return max((ratio(check.errors, check.trusted) for check in _driven(evidence)), default=NOT_FINITE)


def bound(evidence: Evidence, trusted_error: float) -> float:
    """Returns the most that one error may be, where trusted eager's worst is `trusted_error`."""
    if isinstance(evidence, EvidenceVersion2):
        return min(_single_limit(evidence) * trusted_error, evidence.cap)
    assert isinstance(evidence, EvidenceVersion1)
    return error_bound(trusted_error, evidence.cap, evidence.noise)


def _single_limit(evidence: EvidenceVersion2) -> float:
    """Returns the most that one error may be, in multiples of trusted eager's at its position."""
    return limit(evidence.stated_ratio, max(evidence.stated_spread, evidence.checkpoint_spread), 1)


def error_bound(trusted: float, cap: float, noise: float) -> float:
    """Returns version 1's bound: min(3 × trusted eager's worst error, cap), never below noise."""
    return max(min(3 * trusted, cap), noise)


def worst_regret(evidence: Evidence) -> float | None:
    """Returns the largest regret of a token that a timed pass read back, as a share of what it may be; None for
    version 1."""
    if not isinstance(evidence, EvidenceVersion2):
        return None
    allowed = allowed_regrets(evidence)
    shares = (
        regret / most if most else NOT_FINITE for each in evidence.tokens for regret, most in _pairs(each, allowed)
    )
    return max(shares, default=NOT_FINITE)


def repeatable(evidence: Evidence) -> float | None:
    """Returns the share of timed steps at which the token of the step before would pass, too; None for version 1. At
    such a step, one that does nothing is not seen by its token."""
    if not isinstance(evidence, EvidenceVersion2):
        return None
    allowed = allowed_regrets(evidence)
    passing = [regret <= most for each in evidence.tokens for regret, most in zip(each.repeats, allowed, strict=False)]
    return mean(passing) if passing else 1.0


def allowed_regrets(evidence: EvidenceVersion2) -> list[float]:
    """Returns the most that the regret of a token may be at each timed position."""
    factor = evidence.regret_limit * evidence.stated_ratio
    return [factor * trusted for trusted in evidence.timed_trusted]


def undecided_below(gate: Gate) -> float:
    """Returns the margin below which right paths may choose different tokens.

    A margin is that of the reference's best two logits, in root mean squares: one of the two has a regret of at least
    the margin.
    """
    if isinstance(gate, GateVersion2):
        return gate.regret_limit * gate.stated_ratio * gate.trusted_error
    return 2 * gate.bound


def is_imprecise(gate: Gate) -> bool:
    """Returns whether a session errs more than its dtype alone allows, within what its kernel or runtime is stated to
    need."""
    if isinstance(gate, GateVersion2):
        return any(each.value > each.limit for each in _means(gate, gate.dtype_ratio, gate.dtype_spread))
    assert isinstance(gate, GateVersion1)
    return gate.error > min(3 * gate.trusted_error, gate.cap) and gate.noise > gate.cap


def _pairs(tokens: Tokens, allowed: Sequence[float]) -> Iterator[tuple[float, float]]:
    return zip(tokens.regrets, allowed, strict=False)


@dataclass(frozen=True)
class _Mean:
    """A geometric mean of error/trusted error over `count` positions, and the most that it may be."""

    name: str
    value: float
    count: int
    limit: float


def _means(evidence: EvidenceVersion2, ratio_limit: float, least_spread: float) -> Iterator[_Mean]:
    """Yields the mean of each place where the gate drives the step, and of both together, with its limit. The spread of
    a checkpoint's own errors counts, up to what one may have."""
    driven = _driven(evidence)
    if not driven:
        return
    for check in (*driven, _both(driven)):
        own = max(least_spread, min(spread(check.errors, check.trusted), evidence.checkpoint_spread))
        most = limit(ratio_limit, own, len(check.errors))
        yield _Mean(check.name, ratio(check.errors, check.trusted), len(check.errors), most)


def _both(driven: Sequence[Check]) -> Check:
    """Returns the checks as one; a position that is in both counts once."""
    by_position = {
        position: (error, trusted)
        for check in driven
        for position, error, trusted in zip(check.positions, check.errors, check.trusted, strict=False)
    }
    errors, trusted = zip(*by_position.values(), strict=True)
    return Check("both", tuple(by_position), errors, trusted)


def _driven(evidence: Evidence) -> list[Check]:
    return [check for check in evidence.checks if check.name in DRIVEN]


def reasons(gate: Gate) -> Iterator[str]:
    """Yields why the answers of a measured session are not right, one line each."""
    yield from error_reasons(gate)
    if isinstance(gate, GateVersion2):
        yield from _token_reasons(gate)
        yield from _row_reasons(gate)


def error_reasons(gate: Gate) -> Iterator[str]:
    """Yields the reasons that follow from logit errors alone."""
    timed = gate.timed_trusted if isinstance(gate, GateVersion2) else ()
    trusted = max(gate.trusted_error, *timed, 0.0)
    if not trusted <= gate.cap and not is_explained(gate, trusted):
        yield f"trusted eager's error {trusted:.3g} exceeds the cap {gate.cap:.3g}"
    if not isinstance(gate, GateVersion2):
        yield from _bound_reasons(gate)
        return
    yield from _ratio_reasons(gate)
    yield from _single_reasons(gate)


def is_explained(evidence: Evidence, error: float) -> bool:
    """Returns whether the reason that logits are not finite says all there is to say of this error."""
    return error == NOT_FINITE and known(evidence.not_finite) is not None


def _bound_reasons(gate: Gate) -> Iterator[str]:
    for check in gate.checks:
        worst = max(check.errors)
        if not worst <= gate.bound and not is_explained(gate, worst):
            yield f"gate {check.name}: logit error {worst:.3g} exceeds the bound {gate.bound:.3g}"


def _ratio_reasons(evidence: EvidenceVersion2) -> Iterator[str]:
    for each in _means(evidence, evidence.stated_ratio, evidence.stated_spread):
        if not each.value <= each.limit and not is_explained(evidence, each.value):
            yield (
                f"gate {each.name}: logit errors are {each.value:.3g} times trusted eager's (geometric mean of "
                f"{each.count} positions), limit {each.limit:.3g}"
            )


def _single_reasons(evidence: EvidenceVersion2) -> Iterator[str]:
    """Yields a reason for each error that is too large by itself: no position may hide in a mean."""
    factor = _single_limit(evidence)
    for check in evidence.checks:
        bounds = [min(factor * right, evidence.cap) for right in check.trusted]
        wrong = [pair for pair in zip(check.errors, bounds, strict=False) if not pair[0] <= pair[1]]
        if wrong and not is_explained(evidence, max(check.errors)):
            worst, most = max(wrong)
            yield f"gate {check.name}: logit error {worst:.3g} exceeds the bound {most:.3g}"


def _token_reasons(evidence: EvidenceVersion2) -> Iterator[str]:
    if is_explained(evidence, max(evidence.timed_trusted)):
        return
    allowed = allowed_regrets(evidence)
    for each in evidence.tokens:
        wrong = [regret for regret, most in _pairs(each, allowed) if not regret <= most]
        if wrong:
            yield (
                f"gate {each.name}: {len(wrong)} of {len(each.regrets)} timed steps chose a token that the "
                f"reference does not (the worst by {max(wrong):.3g} root mean squares of its logits)"
            )
    share = repeatable(evidence)
    if share is not None and share > REPEATABLE_LIMIT:
        yield (
            f"gate tokens: at {share:.0%} of the timed steps the token of the step before would pass as well (limit "
            f"{REPEATABLE_LIMIT:.0%}): a step that does nothing could not be told"
        )


def _row_reasons(evidence: EvidenceVersion2) -> Iterator[str]:
    for each in evidence.rows:
        if each.unwritten:
            yield f"gate {each.name}: the cache rows of {each.unwritten} timed steps were not written"
        if not each.difference <= evidence.cap and not is_explained(evidence, each.difference):
            yield (
                f"gate {each.name}: cache rows differ from the first pass's by {each.difference:.3g}, limit "
                f"{evidence.cap:.3g}"
            )
        of_tensor = known(each.of_tensor) or 0.0  # the sessions that bounds were derived from lack it
        if not of_tensor <= TENSOR_LIMIT and not is_explained(evidence, of_tensor):
            yield (
                f"gate {each.name}: cache rows of one tensor differ from the first pass's by {of_tensor:.3g}, limit "
                f"{TENSOR_LIMIT}"
            )
