"""The rules of the correctness gate, by version: what its numbers come to, and what makes a session invalid.

Version 2 checks every timed step, and holds the errors against trusted eager's by their ratio; version 1 held the worst
error against three times trusted eager's. A record is judged by the version that it states (docs/methodology.md, "The
gate").
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

VERSION = 2
NOT_FINITE = 1e9  # stands for an error that is NaN or infinite: JSON has neither
DEVIATIONS = 5
"""A limit lies so many standard errors above the largest ratio of an honest path."""
DRIVEN = ("short", "ctx")
REPEATABLE_LIMIT = 0.1
TENSOR_LIMIT = 0.5
"""A tensor's row that differs by half of itself is another row."""

Gate = Mapping[str, Any]


def version(gate: Gate) -> int:
    """The version of the rules that a gate section was made by; sections of before there was a second say none."""
    return int(gate.get("gate_version", 1))


def limit(ratio: float, spread: float, count: int) -> float:
    """The most that the geometric mean of error/trusted error may be over `count` positions, for a path whose honest
    sessions reach `ratio`, and whose single positions have the standard deviation `spread` in the logarithm."""
    return ratio * math.exp(DEVIATIONS * spread / math.sqrt(count))


def spread(errors: Sequence[float], trusted: Sequence[float]) -> float:
    """The standard deviation of the logarithm of error/trusted error; 0 where fewer than two have one."""
    logarithms = list(_logarithms(errors, trusted))
    return stdev(logarithms) if len(logarithms) > 1 else 0.0


def ratio(errors: Sequence[float], trusted: Sequence[float]) -> float:
    """The geometric mean of error/trusted error; NOT_FINITE where one of them is not finite, or trusted is 0. An error
    of exactly 0 is left out: it would make the mean 0, whatever the others are."""
    if NOT_FINITE in (*errors, *trusted) or not all(trusted):
        return NOT_FINITE
    logarithms = list(_logarithms(errors, trusted))
    return math.exp(mean(logarithms)) if logarithms else 0.0


def _logarithms(errors: Sequence[float], trusted: Sequence[float]) -> Iterator[float]:
    return (math.log(own / right) for own, right in zip(errors, trusted, strict=False) if own and right)


def worst_ratio(gate: Gate) -> float | None:
    """The larger of the ratios at the short context and at ctx; None for version 1, which has none."""
    if version(gate) < VERSION:
        return None
    return max((ratio(check["errors"], check["trusted"]) for check in _driven(gate)), default=NOT_FINITE)


def bound(gate: Gate) -> float:
    """The most that one error may be, where trusted eager's worst is `trusted_error`."""
    if version(gate) < VERSION:
        return error_bound(gate["trusted_error"], gate["cap"], gate["noise"])
    return float(min(_single_limit(gate) * gate["trusted_error"], gate["cap"]))


def _single_limit(gate: Gate) -> float:
    """The most that one error may be, in trusted eager's at its position."""
    return limit(gate["stated_ratio"], max(gate["stated_spread"], gate["checkpoint_spread"]), 1)


def error_bound(trusted: float, cap: float, noise: float) -> float:
    """Version 1: min(3 × trusted eager's worst error, cap), never below noise."""
    return max(min(3 * trusted, cap), noise)


def worst_regret(gate: Gate) -> float | None:
    """The largest regret of a token that a timed pass read back, as a share of what it may be; None for version 1."""
    if version(gate) < VERSION:
        return None
    allowed = allowed_regrets(gate)
    shares = (
        regret / most if most else NOT_FINITE for each in gate["tokens"] for regret, most in _pairs(each, allowed)
    )
    return max(shares, default=NOT_FINITE)


def repeatable(gate: Gate) -> float | None:
    """The share of timed steps at which the token of the step before would pass, too: there a step that does nothing is
    not seen by its token. None for version 1."""
    if version(gate) < VERSION:
        return None
    allowed = allowed_regrets(gate)
    passing = [
        regret <= most for each in gate["tokens"] for regret, most in zip(each["repeats"], allowed, strict=False)
    ]
    return mean(passing) if passing else 1.0


def allowed_regrets(gate: Gate) -> list[float]:
    """The most that the regret of a token may be at each timed position."""
    factor = gate["regret_limit"] * gate["stated_ratio"]
    return [factor * trusted for trusted in gate["timed_trusted"]]


def undecided_below(gate: Gate) -> float:
    """The margin of the reference's best two logits, in root mean squares, below which right paths may choose different
    tokens: one of the two has a regret of at least the margin."""
    if version(gate) < VERSION:
        return float(2 * gate["bound"])
    return float(gate["regret_limit"] * gate["stated_ratio"] * gate["trusted_error"])


def is_imprecise(gate: Gate) -> bool:
    """True if a session errs more than its dtype alone allows, within what its kernel or runtime is stated to need."""
    if version(gate) < VERSION:
        return bool(gate["error"] > min(3 * gate["trusted_error"], gate["cap"]) and gate["noise"] > gate["cap"])
    return any(each.found > each.limit for each in _means(gate, "dtype"))


def _pairs(tokens: Gate, allowed: Sequence[float]) -> Iterator[tuple[float, float]]:
    return zip(tokens["regrets"], allowed, strict=False)


@dataclass(frozen=True)
class _Mean:
    """A geometric mean of error/trusted error over `count` positions, and the most that it may be."""

    name: str
    found: float
    count: int
    limit: float


def _means(gate: Gate, bounds: str) -> Iterator[_Mean]:
    """Yields the mean of each place where the gate drives the step, and of both together, with its limit by the ratio
    and spread that `bounds` names: `stated` or `dtype`. A checkpoint's own spread counts, up to what one may have."""
    driven = _driven(gate)
    if not driven:
        return
    for check in (*driven, _both(driven)):
        errors, trusted = check["errors"], check["trusted"]
        own = max(gate[f"{bounds}_spread"], min(spread(errors, trusted), gate["checkpoint_spread"]))
        most = limit(gate[f"{bounds}_ratio"], own, len(errors))
        yield _Mean(check["name"], ratio(errors, trusted), len(errors), most)


def _both(driven: Sequence[Gate]) -> Gate:
    """The checks as one; a position that is in both counts once."""
    by_position = {
        position: pair
        for check in driven
        for position, *pair in zip(check["positions"], check["errors"], check["trusted"], strict=False)
    }
    errors, trusted = ([pair[series] for pair in by_position.values()] for series in (0, 1))
    return {"name": "both", "errors": errors, "trusted": trusted}


def _driven(gate: Gate) -> list[Gate]:
    return [check for check in gate["checks"] if check["name"] in DRIVEN]


def reasons(gate: Gate) -> Iterator[str]:
    """Why the answers of a measured session are not right, one line each."""
    yield from error_reasons(gate)
    if version(gate) >= VERSION:
        yield from _token_reasons(gate)
        yield from _row_reasons(gate)


def error_reasons(gate: Gate) -> Iterator[str]:
    """The reasons that follow from logit errors alone."""
    trusted = max(gate["trusted_error"], *gate.get("timed_trusted", ()), 0.0)
    if not trusted <= gate["cap"] and not is_told(gate, trusted):
        yield f"trusted eager's error {trusted:.3g} exceeds the cap {gate['cap']:.3g}"
    if version(gate) < VERSION:
        yield from _bound_reasons(gate)
        return
    yield from _ratio_reasons(gate)
    yield from _single_reasons(gate)


def is_told(gate: Gate, error: float) -> bool:
    """True if the reason that logits are not finite says all there is to say of this error."""
    return error == NOT_FINITE and "not_finite" in gate


def _bound_reasons(gate: Gate) -> Iterator[str]:
    for check in gate["checks"]:
        worst = max(check["errors"])
        if not worst <= gate["bound"] and not is_told(gate, worst):
            yield f"gate {check['name']}: logit error {worst:.3g} exceeds the bound {gate['bound']:.3g}"


def _ratio_reasons(gate: Gate) -> Iterator[str]:
    for each in _means(gate, "stated"):
        if not each.found <= each.limit and not is_told(gate, each.found):
            yield (
                f"gate {each.name}: logit errors are {each.found:.3g} times trusted eager's (geometric mean of "
                f"{each.count} positions), limit {each.limit:.3g}"
            )


def _single_reasons(gate: Gate) -> Iterator[str]:
    """Each error on its own: no position may hide in a mean."""
    factor = _single_limit(gate)
    for check in gate["checks"]:
        bounds = [min(factor * right, gate["cap"]) for right in check["trusted"]]
        wrong = [pair for pair in zip(check["errors"], bounds, strict=False) if not pair[0] <= pair[1]]
        if wrong and not is_told(gate, max(check["errors"])):
            worst, most = max(wrong)
            yield f"gate {check['name']}: logit error {worst:.3g} exceeds the bound {most:.3g}"


def _token_reasons(gate: Gate) -> Iterator[str]:
    if is_told(gate, max(gate["timed_trusted"])):
        return
    allowed = allowed_regrets(gate)
    for each in gate["tokens"]:
        wrong = [regret for regret, most in _pairs(each, allowed) if not regret <= most]
        if wrong:
            yield (
                f"gate {each['name']}: {len(wrong)} of {len(each['regrets'])} timed steps chose a token that the "
                f"reference does not (the worst by {max(wrong):.3g} root mean squares of its logits)"
            )
    share = repeatable(gate)
    if share is not None and share > REPEATABLE_LIMIT:
        yield (
            f"gate tokens: at {share:.0%} of the timed steps the token of the step before would pass as well (limit "
            f"{REPEATABLE_LIMIT:.0%}): a step that does nothing could not be told"
        )


def _row_reasons(gate: Gate) -> Iterator[str]:
    for each in gate["rows"]:
        if each["unwritten"]:
            yield f"gate {each['name']}: the cache rows of {each['unwritten']} timed steps were not written"
        if not each["difference"] <= gate["cap"] and not is_told(gate, each["difference"]):
            yield (
                f"gate {each['name']}: cache rows differ from the first pass's by {each['difference']:.3g}, limit "
                f"{gate['cap']:.3g}"
            )
        of_tensor = each.get("of_tensor", 0.0)  # the sessions that bounds were derived from lack it
        if not of_tensor <= TENSOR_LIMIT and not is_told(gate, of_tensor):
            yield (
                f"gate {each['name']}: cache rows of one tensor differ from the first pass's by {of_tensor:.3g}, limit "
                f"{TENSOR_LIMIT}"
            )
