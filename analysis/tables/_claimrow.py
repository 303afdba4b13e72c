"""Rows of the claims table: tests of a claim against records, and the verdict that follows from a claim's tests."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from analysis.paper import Claim
from analysis.row import TracedRow
from analysis.tables._trace import Origins, joined
from runner.counts import listed

YES, NO, UNDECIDED, MISSING = "yes", "no", "undecided", "not measured"
HOLDS, IN_PART, FAILS, CANNOT_BE_TOLD, NOT_MEASURED = (
    "holds",
    "holds in part",
    "does not hold",
    "cannot be told",
    "not measured here",
)
FEWEST = 3
"""Fewest sessions that decide a test."""


@dataclass(frozen=True)
class Need:
    """Sessions that a test needs and the source lacks. `setting` says which, such as `eager`."""

    gpu: str
    model: str
    ctx: int
    setting: str


@dataclass(frozen=True)
class Quantity:
    """A measured quantity with its interval over sessions (see `intervals.session_interval`), their flags, and their
    ids by origin."""

    value: float
    low: float
    high: float
    interval: str
    sessions: int
    hosts: int
    flags: list[str]
    origins: Origins = field(default_factory=dict)


@dataclass(frozen=True)
class Limit:
    """The side of a value on which a quantity must lie: above it, or below it."""

    value: float
    is_above: bool

    @property
    def words(self) -> str:
        """Returns the condition as text, such as `> 0.5`."""
        return f"{'>' if self.is_above else '<'} {self.value:g}"

    def outcome(self, quantity: Quantity) -> str:
        """Returns whether the whole interval lies on that side; undecided with fewer than `FEWEST` sessions."""
        if quantity.sessions < FEWEST:
            return UNDECIDED
        ends = (quantity.low, quantity.high) if self.is_above else (-quantity.high, -quantity.low)
        limit = self.value if self.is_above else -self.value
        return YES if ends[0] > limit else NO if ends[1] < limit else UNDECIDED


@dataclass(frozen=True)
class EvidenceRow(TracedRow):
    """A test of a claim in one place."""

    claim: str
    """name of the claim"""
    test: str
    """quantity that is tested"""
    gpu: str
    model: str
    ctx: int
    """tokens"""
    setting: str
    """the sessions that are tested, such as `eager, dynamic cache`"""
    paper: str | None
    """the paper's value in the same place or on the card that it names, None if it has none"""
    condition: str
    """condition of the test, such as `> 0.5`"""
    ours: float | None
    """our value, None if it was not measured"""
    ours_low: float | None
    """ends of the interval of `ours` over sessions"""
    ours_high: float | None
    interval: str | None
    """`ci95`, `range` or `none`"""
    sessions: int | None
    """sessions that our value is based on; of two cells, of the one with fewer"""
    hosts: int | None
    """number of hosts that they ran on"""
    flags: list[str]
    """flags of the sessions"""
    outcome: str
    """`yes`, `no`, `undecided` or `not measured`"""
    void: str
    """why a measured value decides nothing; empty if it may"""
    missing: list[Need]
    """sessions that the test needs and the source lacks"""
    origins: Origins
    """ids of the sessions by origin: a group of sessions, or an A/B"""

    @property
    def label(self) -> str:
        return f"{self.claim}: {self.test} of {self.gpu} {self.model} {self.ctx}, {self.setting}"


@dataclass(frozen=True)
class VerdictRow(TracedRow):
    """A claim with its verdict and the number of its tests by outcome."""

    claim: str
    """name of the claim"""
    text: str
    """the claim in words"""
    rule: str
    """what is tested"""
    verdict: str
    passed: int
    failed: int
    undecided: int
    unmeasured: int
    sentence: str
    """the sessions that are missing, empty if none are"""
    origins: Origins
    """ids of the sessions of its tests by origin"""

    @property
    def label(self) -> str:
        return f"claim {self.claim}"


@dataclass(frozen=True)
class Place:
    """The subject of a test, without its outcome. Its fields are those of `EvidenceRow`."""

    test: str
    gpu: str
    model: str
    ctx: int
    setting: str
    paper: str | None = None


def evidence(
    claim: str,
    place: Place,
    limit: Limit,
    quantity: Quantity | None,
    missing: Sequence[Need],
    void: str = "",
) -> EvidenceRow:
    """Returns the row of a test. Without a quantity it was not measured, and `missing` says what is needed. `void` is
    the reason why the quantity leaves it undecided."""
    return EvidenceRow(
        claim=claim,
        **vars(place),
        condition=limit.words,
        ours=None if quantity is None else quantity.value,
        ours_low=None if quantity is None else quantity.low,
        ours_high=None if quantity is None else quantity.high,
        interval=None if quantity is None else quantity.interval,
        sessions=None if quantity is None else quantity.sessions,
        hosts=None if quantity is None else quantity.hosts,
        flags=[] if quantity is None else quantity.flags,
        outcome=MISSING if quantity is None else UNDECIDED if void else limit.outcome(quantity),
        void=void,
        missing=list(missing),
        origins={} if quantity is None else quantity.origins,
    )


def verdict(outcomes: Iterable[str]) -> str:
    """Returns the verdict on a claim from the outcomes of its tests.

    A claim holds if all its tests were measured and passed, and in part if some passed. If none passed, it does not
    hold if one failed; if none failed either, it cannot be told or was not measured here.
    """
    found = {*outcomes}
    if YES in found:
        return HOLDS if found == {YES} else IN_PART
    if NO in found:
        return FAILS
    return CANNOT_BE_TOLD if UNDECIDED in found else NOT_MEASURED


def verdict_row(claim: Claim, rule: str, tests: Sequence[EvidenceRow]) -> VerdictRow:
    """Returns the row of a claim from the rows of its tests."""
    counts = Counter(row.outcome for row in tests)
    return VerdictRow(
        claim=claim.name,
        text=claim.text,
        rule=rule,
        verdict=verdict(counts),
        passed=counts[YES],
        failed=counts[NO],
        undecided=counts[UNDECIDED],
        unmeasured=counts[MISSING],
        sentence=missing_words([need for row in tests for need in row.missing]),
        origins=joined(*(row.origins for row in tests)),
    )


def missing_words(needs: Iterable[Need]) -> str:
    """Returns the missing sessions as text, such as `h100 eager: qwen2.5-7b at 4096 and 8192`; empty without any."""
    contexts: dict[tuple[str, str], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for need in needs:
        contexts[need.gpu, need.setting][need.model].add(need.ctx)
    return "; ".join(
        f"{gpu} {setting}: "
        + ", ".join(f"{model} at {listed(list(map(str, sorted(ctx))), 'and')}" for model, ctx in models.items())
        for (gpu, setting), models in contexts.items()
    )
