"""Answers to the report's three questions, made from the tables' rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from analysis import paper
from analysis.abrow import ABRow
from analysis.form import titles
from analysis.tables import budget, floor, graphs, quant
from analysis.tables._budgetrow import GroupRow
from analysis.tables._floorrow import FloorRow
from analysis.tables._quantpaper import paper_rows
from analysis.tables._quantrows import AnyRow

FAR, GRAPHS, QUANT = (
    "How far is a step from its memory floor?",
    "How much faster are CUDA Graphs?",
    "How much do quantised weights save?",
)
EAGER, GRAPH = "eager", "graph"
TURNED = {"FASTER": "SLOWER", "SLOWER": "FASTER"}


def answers(
    floors: Sequence[FloorRow],
    budgets: Sequence[GroupRow],
    compared: Sequence[ABRow],
    quants: Sequence[AnyRow],
) -> list[dict[str, str]]:
    """Returns `question` and `answer` of each of the three."""
    return [
        {"question": FAR, "answer": f"{floor_answer(floors)} {budget_answer(budgets)}".strip()},
        {"question": GRAPHS, "answer": graphs_answer(compared)},
        {"question": QUANT, "answer": quant_answer(quants)},
    ]


def floor_answer(floors: Sequence[FloorRow]) -> str:
    """Returns the nearest, farthest and median cell by r_floor; without a datasheet, by r_floor_achievable."""
    valid = [row for row in floors if row.valid]
    has_datasheet = any(row.r_floor is not None for row in valid)
    ratios = [row.r_floor if has_datasheet else row.r_floor_achievable for row in valid]
    cells = sorted((ratio, name) for ratio, name in zip(ratios, _names(valid), strict=True) if ratio is not None)
    if not cells:
        return "There is no valid session."
    limit = "its memory floor" if has_datasheet else "its measured read bandwidth"
    (worst, farthest), (best, nearest) = cells[0], cells[-1]
    if len(cells) == 1:
        return f"The one cell here, {nearest}, reaches {percent(best)} of {limit}: {_slowdown(best)}."
    limits = limit.replace("its", "their")
    middle = percent(median(value for value, _ in cells))
    return (
        f"{len(cells)} cells reach {percent(worst)} to {percent(best)} of {limits} (median {middle}). "
        f"The nearest is {nearest}, where {_slowdown(best)}; the farthest is {farthest}."
    )


def _names(rows: Sequence[FloorRow]) -> list[str]:
    return titles(rows, floor.NAMED_FIELDS, floor.DISTINGUISHING_FIELDS)


def _slowdown(ratio: float) -> str:
    return f"a step takes {1 / ratio:.1f} times as long as reading its bytes"


def percent(ratio: float) -> str:
    """Returns a percentage such as `3.3 %` or `45 %`."""
    return f"{100 * ratio:.{0 if ratio >= 0.1 else 1}f} %"


def budget_answer(table: Sequence[GroupRow]) -> str:
    """Returns the largest terms beyond the floor with their number of cells, and the number of cells without one."""
    valid = budget.budgets(table)
    count = Counter(row.largest for row in valid if row.largest is not None)
    unknown = len(valid) - count.total()
    undecided = f"In {unknown} of {len(valid)} cells the clocks do not determine the largest term beyond the floor."
    if not count:
        return undecided if valid else ""
    (first, cells), *more = sorted(count.items(), key=lambda item: (-item[1], item[0]))
    rest = "".join(f", {name} in {number}" for name, number in more)
    known = f"Beyond the floor, the largest term of a step is {first} in {cells} of {len(valid)} cells{rest}."
    return f"{known} {undecided}" if unknown else known


@dataclass(frozen=True)
class Gain:
    """The speed-up by the graph in one A/B, with its interval."""

    name: str
    verdict: str
    gain: float
    low: float | None
    high: float | None

    @property
    def words(self) -> str:
        """Returns the speed-up with its interval as text."""
        return f"{self.gain:.2f}" + ("" if self.low is None else f" [{self.low:.2f}, {self.high:.2f}]")


def graphs_answer(compared: Sequence[ABRow]) -> str:
    """Returns the speed-up by the graph over the A/Bs of eager against graph."""
    gains = map(_gain, compared, graphs.names(compared))
    known = [gain for gain in gains if gain is not None]
    if not known:
        return f"No A/B of eager against graph was measured here. {_paper_graphs_sentence()}"
    least, most = (end(known, key=lambda gain: gain.gain) for end in (min, max))
    verdicts = Counter(gain.verdict for gain in known)
    counted = ", ".join(f"{number} {word}" for word, number in sorted(verdicts.items()))
    if len(known) == 1:
        return f"With the graph a step is {most.words} times as fast on {most.name}: {most.verdict}."
    return (
        f"In {len(known)} A/Bs of eager against graph a step is {least.words} (on {least.name}) to {most.words} "
        f"(on {most.name}) times as fast with the graph. Verdicts: {counted}."
    )


def _gain(row: ABRow, name: str) -> Gain | None:
    """Returns the A/B as eager over graph in either order of arms, None for other arms."""
    arms = (row.arm_a, row.arm_b)
    if set(arms) != {EAGER, GRAPH}:
        return None
    verdict = row.verdict or "no verdict"
    low, high = row.ratio_low, row.ratio_high
    if arms == (EAGER, GRAPH):
        return Gain(name, verdict, row.ratio, low, high)
    turned_verdict = TURNED.get(verdict, verdict)
    return Gain(
        name, turned_verdict, 1 / row.ratio, None if high is None else 1 / high, None if low is None else 1 / low
    )


def _paper_graphs_sentence() -> str:
    rows = ", ".join(f"{row.ratio:.3f} on the {row.gpu}" for row in paper.graphs_rows())
    return f"The paper measured {rows}."


def quant_answer(quants: Sequence[AnyRow]) -> str:
    """Returns the smallest and largest saving over the fastest unquantised cell, with the verdicts."""
    summary = quant.summary(quant.measured_rows(quants))
    if summary is not None:
        return f"{summary}."
    paper_savings = (f"{row.realised:.2f} ({row.quant} {row.kernel})" for row in paper_rows()[1:])
    return (
        "No quantised cell was measured here on a host with an unquantised one. The paper's ratios of the unquantised "
        f"to the quantised step: {', '.join(paper_savings)}."
    )
