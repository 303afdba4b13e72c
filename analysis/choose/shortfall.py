"""The failure of a question that no row meets: the nearest row and its distance, or the data that are missing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from analysis.choose import missingdata, ruling
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
        raise NoEvidence(f"no row is known to meet {limits.words}: {_missing(lacking, limits)}, or relax the limits")
    raise DeadlineMissed(f"no row meets {limits.words}: {_nearest(rows)}")


def _missing(lacking: Sequence[ChooseRow], limits: Limits) -> str:
    """Returns what the rows lack, the most frequent first, each with what to do about it."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for word, count in Counter(row.meets for row in lacking).most_common():
        way = missingdata.remedy(word, limits, lacking)
        kinds[way].append(f"`{word}` in {counted(count, 'row')}")
    return listed([f"{listed(found, 'and')} ({way})" for way, found in kinds.items()], "and")


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
