"""The rules of the correctness gate, by version: the numbers that follow from its evidence, and the reasons that make a
session invalid.

Version 2 checks every timed step, and limits the ratio of errors to trusted eager's. Version 1 limited the largest
error to three times trusted eager's. A record is judged by the version that it states (docs/methodology.md,
"Correctness gate").
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from runner.cell.fieldtypes import value_or_none
from runner.counts import counted
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
"""Distance of a limit from the largest ratio of a correct path, in standard errors."""
DRIVEN = ("short", "ctx")
REPEATABLE_LIMIT = 0.1
TENSOR_LIMIT = 0.5
"""Limit of ‖Δ‖/‖row‖ of a single tensor's row."""


def version(evidence: Evidence) -> int:
    """Returns the version of the gate's rules for this evidence."""
    return VERSION if isinstance(evidence, EvidenceVersion2) else 1


def limit(ratio: float, spread: float, count: int) -> float:
    """Returns the limit of the geometric mean of error/trusted error over `count` positions.

    `ratio` is the largest mean in correct sessions of the path, `spread` the standard deviation of the ratio's
    logarithm over single positions.
    """
    return ratio * math.exp(DEVIATIONS * spread / math.sqrt(count))


def spread(errors: Sequence[float], trusted: Sequence[float]) -> float:
    """Returns the standard deviation of the logarithm of error/trusted error; 0 for fewer than two logarithms."""
    logarithms = list(_logarithms(errors, trusted))
    return stdev(logarithms) if len(logarithms) > 1 else 0.0


def ratio(errors: Sequence[float], trusted: Sequence[float]) -> float:
    """Returns the geometric mean of error/trusted error.

    Returns NOT_FINITE if an error is not finite or a trusted error is 0. An error of exactly 0 is left out: it would
    make the mean 0.
    """
    if NOT_FINITE in (*errors, *trusted) or not all(trusted):
        return NOT_FINITE
    logarithms = list(_logarithms(errors, trusted))
    return math.exp(mean(logarithms)) if logarithms else 0.0


def _logarithms(errors: Sequence[float], trusted: Sequence[float]) -> Iterator[float]:
    pairs = zip(errors, trusted, strict=False)
    return (_logarithm(error, trusted_error) for error, trusted_error in pairs if error and trusted_error)


def _logarithm(error: float, trusted_error: float) -> float:
    """Returns the logarithm of the quotient of two positive numbers, also of one that no float can be."""
    quotient = error / trusted_error
    return math.log(quotient) if 0 < quotient < math.inf else math.log(error) - math.log(trusted_error)


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
    """Returns the record's section of a gate: its evidence, and the numbers that follow from it."""
    kind = GateVersion2 if isinstance(evidence, EvidenceVersion2) else GateVersion1
    measured = {name: value for name, value in vars(evidence).items() if name not in Findings.__dataclass_fields__}
    return kind(**measured, **vars(findings(evidence)))


def worst_ratio(evidence: Evidence) -> float | None:
    """Returns the larger of the ratios at the short context and at ctx; None for version 1."""
    if version(evidence) < VERSION:
        return None
    return max((ratio(check.errors, check.trusted) for check in _driven_checks(evidence)), default=NOT_FINITE)


def bound(evidence: Evidence, trusted_error: float) -> float:
    """Returns the limit of an error at the position where trusted eager's error is largest; `trusted_error` is its
    error there."""
    if isinstance(evidence, EvidenceVersion2):
        return min(_single_limit(evidence) * trusted_error, evidence.cap)
    assert isinstance(evidence, EvidenceVersion1)
    return error_bound(trusted_error, evidence.cap, evidence.noise)


def _single_limit(evidence: EvidenceVersion2) -> float:
    """Returns the limit of a single error, in multiples of trusted eager's error at its position."""
    return limit(evidence.stated_ratio, max(evidence.stated_spread, evidence.checkpoint_spread), 1)


def error_bound(trusted: float, cap: float, noise: float) -> float:
    """Returns version 1's bound: min(3 × trusted eager's largest error, cap), at least noise."""
    return max(min(3 * trusted, cap), noise)


def worst_regret(evidence: Evidence) -> float | None:
    """Returns the largest regret of a token that a timed pass read back, as a share of its limit; None for version
    1."""
    if not isinstance(evidence, EvidenceVersion2):
        return None
    limits = allowed_regrets(evidence)
    shares = (
        regret / most if most else NOT_FINITE for tokens in evidence.tokens for regret, most in _pairs(tokens, limits)
    )
    return max(shares, default=NOT_FINITE)


def repeatable(evidence: Evidence) -> float | None:
    """Returns the share of timed steps at which the previous step's token would pass, too; None for version 1.

    At such a step, the token does not show whether the step did anything.
    """
    if not isinstance(evidence, EvidenceVersion2):
        return None
    limits = allowed_regrets(evidence)
    passing = [
        regret <= most
        for tokens in evidence.tokens
        for _ in tokens.passes
        for regret, most in zip(tokens.repeats, limits, strict=False)
    ]
    return mean(passing) if passing else 1.0


def allowed_regrets(evidence: EvidenceVersion2) -> list[float]:
    """Returns the limit of a token's regret at each timed position."""
    factor = evidence.regret_limit * evidence.stated_ratio
    return [factor * trusted for trusted in evidence.timed_trusted]


def undecided_below(gate: Gate) -> float:
    """Returns the margin below which correct paths may choose different tokens.

    The margin is the difference of the reference's two best logits, in root mean squares. If two paths choose different
    tokens, one of them has a regret of at least the margin.
    """
    if isinstance(gate, GateVersion2):
        return gate.regret_limit * gate.stated_ratio * gate.trusted_error
    return 2 * gate.bound


def is_imprecise(gate: Gate) -> bool:
    """Returns whether an error exceeds the dtype's limit. The kernel's or runtime's own limit may allow it."""
    if isinstance(gate, GateVersion2):
        return any(average.value > average.limit for average in _means(gate, gate.dtype_ratio, gate.dtype_spread))
    assert isinstance(gate, GateVersion1)
    return gate.error > min(3 * gate.trusted_error, gate.cap) and gate.noise > gate.cap


def _pairs(tokens: Tokens, limits: Sequence[float]) -> Iterator[tuple[float, float]]:
    return zip(tokens.regrets, limits, strict=False)


@dataclass(frozen=True)
class _Mean:
    """A geometric mean of error/trusted error over `count` positions, and its limit."""

    name: str
    value: float
    count: int
    limit: float


def _means(evidence: EvidenceVersion2, ratio_limit: float, least_spread: float) -> Iterator[_Mean]:
    """Yields the mean of each check in which the gate drives the step, and of both checks together, with its limit.

    The limit uses the larger of `least_spread` and the spread of the errors themselves, the latter at most
    `checkpoint_spread`.
    """
    driven = _driven_checks(evidence)
    if not driven:
        return
    for check in (*driven, _combined(driven)):
        used_spread = max(least_spread, min(spread(check.errors, check.trusted), evidence.checkpoint_spread))
        most = limit(ratio_limit, used_spread, len(check.errors))
        yield _Mean(check.name, ratio(check.errors, check.trusted), len(check.errors), most)


def _combined(driven: Sequence[Check]) -> Check:
    """Returns the checks combined. A position in both counts once."""
    by_position = {
        position: (error, trusted)
        for check in driven
        for position, error, trusted in zip(check.positions, check.errors, check.trusted, strict=False)
    }
    errors, trusted = zip(*by_position.values(), strict=True)
    return Check("both", tuple(by_position), errors, trusted)


def _driven_checks(evidence: Evidence) -> list[Check]:
    return [check for check in evidence.checks if check.name in DRIVEN]


def reasons(gate: Gate) -> Iterator[str]:
    """Yields one line for each reason why the answers of a measured session are not correct."""
    yield from error_reasons(gate)
    if isinstance(gate, GateVersion2):
        yield from _token_reasons(gate)
        yield from _row_reasons(gate)


def error_reasons(gate: Gate) -> Iterator[str]:
    """Yields the reasons (see `reasons`) that follow from logit errors alone."""
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
    """Returns whether the record already states why logits are not finite, so this error needs no reason of its own."""
    return error == NOT_FINITE and value_or_none(evidence.not_finite) is not None


def _bound_reasons(gate: Gate) -> Iterator[str]:
    for check in gate.checks:
        worst = max(check.errors)
        if not worst <= gate.bound and not is_explained(gate, worst):
            yield f"gate {check.name}: logit error {worst:.3g} exceeds the bound {gate.bound:.3g}"


def _ratio_reasons(evidence: EvidenceVersion2) -> Iterator[str]:
    for average in _means(evidence, evidence.stated_ratio, evidence.stated_spread):
        if not average.value <= average.limit and not is_explained(evidence, average.value):
            yield (
                f"gate {average.name}: logit errors are {average.value:.3g} times trusted eager's (geometric mean of "
                f"{average.count} positions), limit {average.limit:.3g}"
            )


def _single_reasons(evidence: EvidenceVersion2) -> Iterator[str]:
    """Yields a reason for each check with an error that is too large by itself, even if the mean is within its
    limit."""
    factor = _single_limit(evidence)
    for check in evidence.checks:
        bounds = [min(factor * trusted_error, evidence.cap) for trusted_error in check.trusted]
        wrong = [pair for pair in zip(check.errors, bounds, strict=False) if not pair[0] <= pair[1]]
        if wrong and not is_explained(evidence, max(check.errors)):
            worst, most = max(wrong)
            yield f"gate {check.name}: logit error {worst:.3g} exceeds the bound {most:.3g}"


def _token_reasons(evidence: EvidenceVersion2) -> Iterator[str]:
    if is_explained(evidence, max(evidence.timed_trusted)):
        return
    limits = allowed_regrets(evidence)
    for tokens in evidence.tokens:
        wrong = [regret for regret, most in _pairs(tokens, limits) if not regret <= most]
        if wrong:
            others = f" and {counted(len(tokens.also), 'more window')}" if tokens.also else ""
            yield (
                f"gate {tokens.name}{others}: {len(wrong)} of {len(tokens.regrets)} timed steps chose a token that the "
                f"reference does not (the worst by {max(wrong):.3g} root mean squares of its logits)"
            )
    share = repeatable(evidence)
    if share is not None and share > REPEATABLE_LIMIT:
        yield (
            f"gate tokens: at {share:.0%} of the timed steps the token of the step before would pass as well (limit "
            f"{REPEATABLE_LIMIT:.0%}): a step that does nothing could not be told"
        )


def _row_reasons(evidence: EvidenceVersion2) -> Iterator[str]:
    for rows in evidence.rows:
        if rows.unwritten:
            yield f"gate {rows.name}: the cache rows of {rows.unwritten} timed steps were not written"
        if not rows.difference <= evidence.cap and not is_explained(evidence, rows.difference):
            yield (
                f"gate {rows.name}: cache rows differ from the first pass's by {rows.difference:.3g}, limit "
                f"{evidence.cap:.3g}"
            )
        of_tensor = value_or_none(rows.of_tensor) or 0.0  # absent in the sessions that bounds were derived from
        if not of_tensor <= TENSOR_LIMIT and not is_explained(evidence, of_tensor):
            yield (
                f"gate {rows.name}: cache rows of one tensor differ from the first pass's by {of_tensor:.3g}, limit "
                f"{TENSOR_LIMIT}"
            )
