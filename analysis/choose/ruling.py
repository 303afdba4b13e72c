"""The ruling on a candidate: whether it meets the limits, and if not, whether it fails or only lacks data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from analysis.choose.candidate import MEASURED, PREDICTED, Candidate
from analysis.choose.limits import Limits
from analysis.choose.worstsession import FEWEST_SESSIONS, Tail
from runner.counts import counted

MEETS, LACKS, FAILS = "meets", "lacks data", "fails"
STANDINGS = (MEETS, LACKS, FAILS)
"""Kinds of rulings, the best first."""
YES, MEDIAN_ONLY, IN_RANGE = "yes", "median only", "predicted"
UNCERTAIN, TOO_SLOW = "uncertain", "too slow"
FEW_STEPS, FEW_SESSIONS, NO_STEPS = "not enough steps", "too few sessions", "no steps"
NO_ROOM, TOO_EXPENSIVE, TOO_HUNGRY = "does not fit", "too expensive", "too much energy"
NO_PRICE, NO_ENERGY = "no data: price", "no data: energy"


@dataclass(frozen=True)
class Ruling:
    """A ruling in one word or a few, and its reason.

    `excess` is the value of a failed limit as a multiple of that limit, the largest of several. It is None if no limit
    failed, or if the configuration cannot exist.
    """

    standing: str
    word: str
    reason: str
    excess: float | None = None


@dataclass(frozen=True)
class Span:
    """Times for a deadline without a limit on misses: below `slow_ms` the candidate is too slow, from `meets_ms` on
    (which may be infinite) it meets the deadline, as `word` says. Between them nobody knows. `reason` is the time that
    decides, with its name."""

    slow_ms: float
    meets_ms: float
    word: str
    reason: str


def span(candidate: Candidate, tokens: int) -> Span:
    """Returns the times that decide: the bound on p99 where the sample supports it, else the median of the slowest
    session; the stated median of a published step, the ends of a prediction's range."""
    tail = candidate.tail
    if tail is not None and tail.p99_ms is not None:
        return Span(tail.p99_ms, tail.p99_ms, YES, f"p99 ≤ {tail.p99_ms:.2f} ms")
    if tail is not None:
        slowest = tail.slowest_median_ms
        return Span(slowest, slowest, MEDIAN_ONLY, f"median {slowest:.2f} ms in the slowest session; {_no_p99(tail)}")
    if candidate.basis == PREDICTED:
        low, high = tokens * (candidate.low_ms or 0.0), tokens * (candidate.high_ms or math.inf)
        return Span(low, high, IN_RANGE, f"predicted {low:.2f}–{high:.2f} ms")
    estimate = f"{tokens} × {candidate.step_ms:.2f} = " if tokens > 1 else ""
    return Span(candidate.chunk_ms, candidate.chunk_ms, MEDIAN_ONLY, f"median {estimate}{candidate.chunk_ms:.2f} ms")


def _no_p99(tail: Tail) -> str:
    """Returns why the tail has no bound on p99."""
    if not tail.is_promise:
        return f"no tail from {counted(len(tail.samples), 'session')}"
    least = min((sample.size for sample in tail.samples), key=lambda size: size.n_eff)
    return f"not enough steps for p99: {least.n}, worth {least.n_eff:.0f} independent ones"


def ruling(candidate: Candidate, limits: Limits) -> Ruling:
    """Returns the ruling: the first limit that the candidate fails, else the first that it has no data for, else how it
    meets them."""
    found = list(_rulings(candidate, limits))
    for standing in (FAILS, LACKS):
        chosen = [each for each in found if each.standing == standing]
        if chosen:
            return replace(chosen[0], excess=_largest([each.excess for each in chosen]))
    return found[0]


def _largest(excesses: Sequence[float | None]) -> float | None:
    known = [excess for excess in excesses if excess is not None]
    return max(known) if len(known) == len(excesses) else None


def _rulings(candidate: Candidate, limits: Limits) -> Iterator[Ruling]:
    """Yields a ruling for each limit, that of the deadline first."""
    yield _on_time(candidate, limits) if limits.miss is None else _on_misses(candidate, limits, limits.miss)
    if candidate.memory_left_bytes is not None and candidate.memory_left_bytes < 0:
        missing = f"{-candidate.memory_left_bytes / 1e9:.1f} GB more than the card has"
        yield Ruling(FAILS, NO_ROOM, missing)
    if limits.usd_per_mtok is not None:
        yield _on_cost(candidate.usd_per_mtok, limits.usd_per_mtok, "$/Mtok", (TOO_EXPENSIVE, NO_PRICE))
    if limits.joules_per_token is not None:
        yield _on_cost(candidate.joules_most, limits.joules_per_token, "J/token", (TOO_HUNGRY, NO_ENERGY))


def _on_time(candidate: Candidate, limits: Limits) -> Ruling:
    times, deadline = span(candidate, limits.tokens), limits.deadline_ms
    if deadline < times.slow_ms:
        return _too_slow(candidate, limits)
    if _lacks_chunks(candidate):
        return _few_steps(limits)
    if deadline < times.meets_ms:
        return Ruling(LACKS, UNCERTAIN, times.reason)
    return Ruling(MEETS, times.word, times.reason)


def _too_slow(candidate: Candidate, limits: Limits) -> Ruling:
    times = span(candidate, limits.tokens)
    return Ruling(FAILS, TOO_SLOW, times.reason, times.slow_ms / limits.deadline_ms)


def _lacks_chunks(candidate: Candidate) -> bool:
    return candidate.basis == MEASURED and candidate.tail is None


def _few_steps(limits: Limits) -> Ruling:
    return Ruling(LACKS, FEW_STEPS, f"no session has {limits.tokens} consecutive steps")


def _on_misses(candidate: Candidate, limits: Limits, allowed: float) -> Ruling:
    """Returns the ruling on a limit of misses, which only enough raw steps of enough sessions can meet."""
    tail = candidate.tail
    if tail is None:
        too_slow = limits.deadline_ms < span(candidate, limits.tokens).slow_ms
        lacking = _few_steps(limits) if _lacks_chunks(candidate) else Ruling(LACKS, NO_STEPS, candidate.basis)
        return _too_slow(candidate, limits) if too_slow else lacking
    found = tail.miss(limits.deadline_ms)
    words = f"{found.missed} of {counted(found.chunks, 'chunk' if limits.tokens > 1 else 'step')} missed it"
    if found.probability > allowed:
        needed_ms = tail.deadline_for(allowed) or tail.longest_ms
        return Ruling(FAILS, TOO_SLOW, words, needed_ms / limits.deadline_ms)
    if not tail.is_promise:
        few = f"{counted(len(tail.samples), 'session')}, {FEWEST_SESSIONS} are needed"
        return Ruling(LACKS, FEW_SESSIONS, few)
    if found.upper > allowed:
        return Ruling(LACKS, FEW_STEPS, f"{words}, which bounds the probability by {found.upper:.2g}")
    return Ruling(MEETS, YES, f"{words}, so at most {found.upper:.2g}")


def _on_cost(value: float | None, allowed: float, unit: str, words: tuple[str, str]) -> Ruling:
    too_much, no_data = words
    if value is None:
        return Ruling(LACKS, no_data, f"no {unit}")
    if value > allowed:
        return Ruling(FAILS, too_much, f"{value:.4g} {unit}", value / allowed)
    return Ruling(MEETS, YES, f"{value:.4g} {unit}")
