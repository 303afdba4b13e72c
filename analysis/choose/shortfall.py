"""The failure of a question that no row meets: the nearest row and its distance, or the data that are missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from analysis.choose import remedies, ruling
from analysis.choose.candidate import PREDICTED
from analysis.choose.chooserow import ChooseRow
from analysis.choose.limits import Limits
from analysis.percent import percent
from runner.counts import counted, listed
from runner.errors import DeadlineMissed, NoEvidence


def check(rows: Sequence[ChooseRow], limits: Limits) -> None:
    """Raises NoEvidence if no row meets the limits and some only lack data, DeadlineMissed if none meets them."""
    if any(row.is_met for row in rows):
        return
    lacking = [row for row in rows if row.standing == ruling.LACKS]
    if lacking:
        words = Counter(row.meets for row in lacking)
        kinds = listed([f"`{word}` in {counted(count, 'row')}" for word, count in words.most_common()], "and")
        found = (remedies.remedy(word, limits, rows[0].model, rows[0].ctx) for word, _ in words.most_common())
        ways = listed([*dict.fromkeys(found)], "and")
        raise NoEvidence(f"no row is known to meet {limits.words}: {kinds}; {ways}, or relax the limits")
    raise DeadlineMissed(f"no row meets {limits.words}: {_nearest(rows)}")


def _nearest(rows: Sequence[ChooseRow]) -> str:
    known = [(row.excess, row) for row in rows if row.excess is not None]
    if not known:
        return "none fits into its card's memory: choose another GPU or a smaller model"
    excess, row = min(known, key=lambda pair: pair[0])
    # a prediction is too slow by the nearer end of its range
    at_least = "at least " if row.basis == PREDICTED and row.meets == ruling.TOO_SLOW else ""
    return f"the nearest, {row.title}, is {at_least}{_far(excess - 1)} over ({row.meets}: {row.reason})"


def _far(share: float) -> str:
    """Returns a share as a percentage that is not rounded to 0."""
    return percent(share) if share >= 0.1 else f"{100 * share:.2g} %"
