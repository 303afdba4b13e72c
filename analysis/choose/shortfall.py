"""The failure of a question that no row meets: the nearest row and its distance, or the data that are missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from analysis.choose import ruling
from analysis.choose.chooserow import ChooseRow
from analysis.choose.limits import Limits
from analysis.percent import percent
from runner.counts import listed
from runner.errors import DeadlineMissed, NoEvidence

MEASURE = "measure such cells with `python -m runner cell`"
TAIL = "measure at least 3 sessions of a cell with `python -m runner cell --protocol tail`"
REMEDIES = {
    ruling.FEW_STEPS: TAIL,
    ruling.FEW_SESSIONS: TAIL,
    ruling.NO_STEPS: TAIL,
    ruling.UNCERTAIN: MEASURE,
    ruling.NO_ENERGY: "measure it with --energy",
    ruling.NO_PRICE: "name one with --price",
}
"""Ways to measure the data that a ruling lacks."""


def check(rows: Sequence[ChooseRow], limits: Limits) -> None:
    """Raises NoEvidence if no row meets the limits and some only lack data, DeadlineMissed if none meets them."""
    if any(row.is_met for row in rows):
        return
    lacking = [row for row in rows if row.standing == ruling.LACKS]
    if lacking:
        words = Counter(row.meets for row in lacking)
        kinds = listed([f"{word} ({count})" for word, count in words.most_common()], "and")
        remedies = listed([*dict.fromkeys(REMEDIES[word] for word, _ in words.most_common())], "and")
        raise NoEvidence(f"no row is known to meet {limits.words}: {kinds}: {remedies}, or relax the limits")
    raise DeadlineMissed(f"no row meets {limits.words}: {_nearest(rows)}")


def _nearest(rows: Sequence[ChooseRow]) -> str:
    known = [(row.excess, row) for row in rows if row.excess is not None]
    if not known:
        return "none fits into its card's memory: choose another GPU or a smaller model"
    excess, row = min(known, key=lambda pair: pair[0])
    return f"the nearest, {row.title}, is {_far(excess - 1)} over ({row.meets}: {row.reason})"


def _far(share: float) -> str:
    """Returns a share as a percentage that is not rounded to 0."""
    return percent(share) if share >= 0.1 else f"{100 * share:.2g} %"
