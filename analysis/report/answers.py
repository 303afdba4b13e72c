"""The three questions, each answered in a sentence or two that follow from the tables' rows."""

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
    "How far from the floor is a step?",
    "What do CUDA Graphs buy?",
    "What do quantised weights save?",
)
EAGER, GRAPH = "eager", "graph"
TURNED = {"FASTER": "SLOWER", "SLOWER": "FASTER"}


def answers(
    floors: Sequence[FloorRow],
    budgets: Sequence[GroupRow],
    compared: Sequence[ABRow],
    quants: Sequence[AnyRow],
) -> list[dict[str, str]]:
    """Returns `question` and `answer` of each."""
    return [
        {"question": FAR, "answer": f"{floor_answer(floors)} {budget_answer(budgets)}".strip()},
        {"question": GRAPHS, "answer": graphs_answer(compared)},
        {"question": QUANT, "answer": quant_answer(quants)},
    ]


def floor_answer(floors: Sequence[FloorRow]) -> str:
    """Returns the nearest, the farthest and the middle cell, by r_floor, or by r_floor_achievable without a
    datasheet."""
    valid = [row for row in floors if row.valid]
    has_datasheet = any(row.r_floor is not None for row in valid)
    ratios = [row.r_floor if has_datasheet else row.r_floor_achievable for row in valid]
    cells = sorted((ratio, name) for ratio, name in zip(ratios, _names(valid), strict=True) if ratio is not None)
    if not cells:
        return "No valid session says."
    of_what = "its memory floor" if has_datasheet else "what its memory was seen to read"
    (worst, farthest), (best, nearest) = cells[0], cells[-1]
    if len(cells) == 1:
        return f"The one cell here, {nearest}, reaches {percent(best)} of {of_what}: {_takes(best)}."
    return (
        f"{len(cells)} cells reach {percent(worst)} to {percent(best)} of {of_what.replace('its', 'their')}, "
        f"{percent(median(value for value, _ in cells))} in the middle. Nearest is {nearest}, where {_takes(best)}; "
        f"farthest {farthest}."
    )


def _names(rows: Sequence[FloorRow]) -> list[str]:
    return titles(rows, floor.NAMED_FIELDS, floor.DISTINGUISHING_FIELDS)


def _takes(ratio: float) -> str:
    return f"a step takes {1 / ratio:.1f} times as long as reading its bytes would"


def percent(ratio: float) -> str:
    """Returns a percentage such as `3.3 %` and `45 %`."""
    return f"{100 * ratio:.{0 if ratio >= 0.1 else 1}f} %"


def budget_answer(table: Sequence[GroupRow]) -> str:
    """Returns which terms beyond the floor are the largest in how many cells, and in how many none is named."""
    valid = budget.budgets(table)
    count = Counter(row.largest for row in valid if row.largest is not None)
    untold = len(valid) - count.total()
    open_ = f"In {untold} of {len(valid)} cells the clocks do not tell which part beyond the floor is the largest."
    if not count:
        return open_ if valid else ""
    (first, cells), *others = sorted(count.items(), key=lambda each: (-each[1], each[0]))
    rest = "".join(f", {name} in {number}" for name, number in others)
    said = f"Beyond the floor the largest part of a step is {first} in {cells} of {len(valid)} cells{rest}."
    return f"{said} {open_}" if untold else said


@dataclass(frozen=True)
class Gain:
    """How many times as fast a step is with the graph in one A/B, with the interval."""

    name: str
    verdict: str
    gain: float
    low: float | None
    high: float | None

    @property
    def words(self) -> str:
        """The gain with its interval."""
        return f"{self.gain:.2f}" + ("" if self.low is None else f" [{self.low:.2f}, {self.high:.2f}]")


def graphs_answer(compared: Sequence[ABRow]) -> str:
    """Returns how many times as fast a step is with the graph, by the A/Bs of eager against graph."""
    gains = map(_gain, compared, graphs.names(compared))
    found = [gain for gain in gains if gain is not None]
    if not found:
        return f"No A/B of eager against graph was measured here. {_paper_graphs_sentence()}"
    least, most = (choose(found, key=lambda one: one.gain) for choose in (min, max))
    verdicts = Counter(one.verdict for one in found)
    counted = ", ".join(f"{number} {word}" for word, number in sorted(verdicts.items()))
    if len(found) == 1:
        return f"With the graph a step is {most.words} times as fast on {most.name}: {most.verdict}."
    return (
        f"In {len(found)} A/Bs of eager against graph a step is {least.words} (on {least.name}) to {most.words} "
        f"(on {most.name}) times as fast with the graph. Verdicts: {counted}."
    )


def _gain(row: ABRow, name: str) -> Gain | None:
    """Returns the A/B as eager over graph, whichever arm came first; None for other arms."""
    arms = (row.arm_a, row.arm_b)
    if set(arms) != {EAGER, GRAPH}:
        return None
    verdict = row.verdict or "no verdict"
    low, high = row.ratio_low, row.ratio_high
    if arms == (EAGER, GRAPH):
        return Gain(name, verdict, row.ratio, low, high)
    turned = TURNED.get(verdict, verdict)
    return Gain(name, turned, 1 / row.ratio, None if high is None else 1 / high, None if low is None else 1 / low)


def _paper_graphs_sentence() -> str:
    rows = ", ".join(f"{row.ratio:.3f} on the {row.gpu}" for row in paper.graphs_rows())
    return f"The paper measured {rows}."


def quant_answer(quants: Sequence[AnyRow]) -> str:
    """Returns the least and the greatest saving over the fastest unquantised cell; a verdict only from five sessions
    on."""
    own = quant.summary(quant.measured_rows(quants))
    if own is not None:
        return f"{own}."
    told = (f"{row.realised:.2f} ({row.quant} {row.kernel})" for row in paper_rows()[1:])
    return (
        "No quantised cell was measured here on a host with an unquantised one. The paper's unquantised step over its "
        f"quantised ones: {', '.join(told)}."
    )
