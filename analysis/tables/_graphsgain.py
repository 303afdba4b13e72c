"""The gain of a runtime over another on a GPU: the A/B of both, in either order of arms. For CUDA Graphs without an A/B
it is the ratio of two rows of the floor table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis import paper
from analysis.abrow import ABRow
from analysis.question import Fallback, Line, Question, flagged
from analysis.statistics import intervals
from analysis.tables._baselines import UNQUANTISED
from analysis.tables._floorrow import FloorRow

EAGER, GRAPH, FUSED = "eager", "graph", "fused"
ALIKE = (
    *("gpu", "model", "ctx", "quant", "kernel", "cache", "dtype"),
    *("attention", "weights_id", "options", "protocol", "env_key"),
)
"""Fields in which an eager and a graph row that are compared without an A/B agree."""
TURNED = {"FASTER": "SLOWER", "SLOWER": "FASTER"}


@dataclass(frozen=True)
class Gain:
    """An A/B as one value of its field over another, such as eager over graph: above 1, the second is faster. Steps are
    in ms."""

    row: ABRow
    ratio: float
    low: float | None
    high: float | None
    first_ms: float
    second_ms: float
    verdict: str

    @property
    def span(self) -> str:
        """Returns the interval as text, with its coverage unless that is 95 %; empty if there is none."""
        if self.low is None or self.high is None or self.row.interval == intervals.NONE:
            return ""
        label = intervals.label(self.row.interval, self.row.sessions)
        return f" [{self.low:.2f}–{self.high:.2f}]" + ("" if label in (None, "95 %") else f" ({label})")

    @property
    def place(self) -> str:
        """Returns model and ctx as text, and format and options unless these are the usual ones."""
        more = [self.row.quant] if self.row.quant != UNQUANTISED else []
        return ", ".join((self.row.model, f"ctx {self.row.ctx}", *more, *filter(None, [self.row.options])))


def gain(row: ABRow, first: str = EAGER, second: str = GRAPH) -> Gain | None:
    """Returns the A/B as `first` over `second`, in either order of arms; None for other arms."""
    verdict, low, high = row.verdict or "no verdict", row.ratio_low, row.ratio_high
    if (row.arm_a, row.arm_b) == (first, second):
        return Gain(row, row.ratio, low, high, row.a_ms, row.b_ms, verdict)
    if (row.arm_a, row.arm_b) != (second, first):
        return None
    turned_ends = (None if high is None else 1 / high, None if low is None else 1 / low)
    return Gain(row, 1 / row.ratio, *turned_ends, row.b_ms, row.a_ms, TURNED.get(verdict, verdict))


def graphs_line(table: Sequence[ABRow], gpu: str) -> Line:
    """Returns the gain of a graph over eager on a GPU; without an A/B, the paper's."""
    return _line(table, gpu, EAGER, GRAPH) or Line(f"{_unmeasured(EAGER, GRAPH)}{_of_the_paper(gpu)}")


def fused_line(table: Sequence[ABRow], gpu: str) -> Line:
    """Returns the gain of the fused step over a graph on a GPU."""
    return _line(table, gpu, GRAPH, FUSED) or Line(_unmeasured(GRAPH, FUSED))


def _line(table: Sequence[ABRow], gpu: str, first: str, second: str) -> Line | None:
    """Returns the gain in the A/B with the most sessions, and the gains of the others; None without an A/B."""
    gains = [found for row in table if row.gpu == gpu and (found := gain(row, first, second)) is not None]
    if not gains:
        return None
    chosen, *others = sorted(gains, key=lambda each: -each.row.sessions)
    steps = f"{first} {chosen.first_ms:.2f} ms, {second} {chosen.second_ms:.2f} ms"
    text = f"{chosen.verdict}{chosen.span}: {steps} ({chosen.place}, n = {chosen.row.sessions}){_also(others)}"
    return Line(text, f"{chosen.ratio:.2f}×", chosen.row, flagged(chosen.row.flags))


def _unmeasured(first: str, second: str) -> str:
    return f"No A/B of {first} against {second} was measured on this GPU"


def _also(others: Sequence[Gain]) -> str:
    if len(others) > 1:
        least, most = (end(each.ratio for each in others) for end in (min, max))
        return f"; {least:.2f}× to {most:.2f}× in {len(others)} more A/Bs"
    return "".join(f"; {other.ratio:.2f}× for {other.place}" for other in others)


def unpaired_line(table: Sequence[FloorRow], gpu: str) -> Line | None:
    """Returns the ratio of the medians of an eager and a graph row that differ in nothing else, None without such rows.

    Unquantised rows come first, then those with the most sessions.
    """
    pairs = _pairs([row for row in table if row.valid and row.gpu == gpu])
    if not pairs:
        return None
    eager, graph = max(pairs, key=lambda pair: (pair[1].quant == UNQUANTISED, min(row.sessions for row in pair)))
    assert eager.step_wall_ms is not None
    assert graph.step_wall_ms is not None
    steps = " / ".join(f"{row.runtime} {row.step_wall_ms:.2f} ms (n = {row.sessions})" for row in (eager, graph))
    text = f"not an A/B, but the ratio of medians of sessions: {steps}, {graph.model}, ctx {graph.ctx}"
    number = f"{eager.step_wall_ms / graph.step_wall_ms:.2f}×"
    flags = flagged(sorted({*eager.flags, *graph.flags}))
    caveat = ". ".join(filter(None, ("Not measured in alternation", flags)))
    return Line(f"{text}{_of_the_paper(gpu)}", number, graph, caveat)


def _pairs(rows: Sequence[FloorRow]) -> list[tuple[FloorRow, FloorRow]]:
    """Returns pairs of an eager and a graph row that agree in the fields `ALIKE`."""
    eager = {_alike(row): row for row in rows if row.runtime == EAGER}
    return [(eager[_alike(row)], row) for row in rows if row.runtime == GRAPH and _alike(row) in eager]


def _alike(row: FloorRow) -> tuple[object, ...]:
    return tuple(row.value(name) for name in ALIKE)


def _of_the_paper(gpu: str) -> str:
    ratios = [f"{figure.ratio:.3f}×" for figure in paper.graphs_rows() if figure.gpu == gpu]
    return f"; the paper measured {', '.join(ratios)}" if ratios else ""


SCOPE = "eager step over graph step, in an A/B if there is one"
FUSED_SCOPE = "graph step over the step of one fused kernel, in an A/B"
QUESTIONS = (
    Question("What do CUDA Graphs buy?", graphs_line, SCOPE, Fallback("floor", unpaired_line)),
    Question("What does a fused kernel buy beyond them?", fused_line, FUSED_SCOPE),
)
