"""What columns and flags mean, for a reader who has nothing but the page."""

from __future__ import annotations

from collections.abc import Iterable

from runner.record.flags import FLAG_MEANINGS

COLUMNS = {
    "n": "sessions, each a fresh process; leads to where they come from. Of an A/B: of each arm",
    "hosts": "hosts (machine and card) that the sessions ran on",
    "disturbed": "sessions that the row leaves out because others kept the host busy meanwhile",
    "superseded": "sessions of older code, which the row leaves out",
    "ms/step": "one step with its token read back, by the host's clock: the median of the sessions' medians",
    "low, high, interval": "the interval of that median over sessions and what it covers, below 5 sessions their range",
    "p90 ≤, p95 ≤, p99 ≤": "the worst session's tail of its own steps, where it has enough of them to state one",
    "revisit ms": "the same clock over context lengths that the process has met before (a growing cache only)",
    "busy ms": "what the kernels of a step take",
    "$/Mtok": "a million tokens of one stream at the catalogue's price of an hour",
    "floor ms": "the bytes that a step must read over the datasheet's bandwidth",
    "r_floor": "floor over step: the fraction of the memory floor that is reached",
    "r_floor_paper": "the same with the paper's count of bytes, the whole input embedding among them",
    "r_floor_achievable": "the same with the bandwidth that this very card was seen to read at",
    "a / b, 95 %, BCa": "the ratio of both arms' steps with its interval, and beside it the paper's bootstrap",
    "CV a, CV b": "scatter of the sessions of an arm",
    "n for ±0.5 %": "sessions of each arm that such an interval would take at this scatter",
    "ideal saving": "bytes of the unquantised step over the row's",
    "realised saving, over eager": "the time of the unquantised cell that `against` names, and of the eager one, over "
    "the row's: within hosts, with the range of the sessions (below 5) or the interval",
    "floor … rest": "the terms of the gap budget: docs/methodology.md says from which clocks they come",
    "passes apart": "how far passes over the same lengths lie apart, as a share of the step: the terms' uncertainty",
    "cut (ms)": "the clocks that were longer than the one above them, and by how much they were cut to it",
}


def of_flags(seen: Iterable[str]) -> dict[str, str]:
    """The meaning of each of these flags; a store may have some that this version does not know."""
    return {flag: FLAG_MEANINGS.get(flag, "not known to this version") for flag in sorted(set(seen))}
