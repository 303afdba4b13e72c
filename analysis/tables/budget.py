"""The gap budget: of each cell's step, where the time goes, as terms that add up to it.

The terms are differences of neighbouring clocks, from the least that the bytes allow to what the robot waits for:

    floor at the datasheet's peak → floor at the bandwidth this device achieves → kernels busy → span of the step on the
    device → wall

Each clock is the median session's, so neighbours telescope and the sum is the step to the last bit of rounding. The
clocks come from passes of their own (docs/methodology.md, "Clocks"), so that a term may be negative: that is told with
its reason, not clipped. Terms between which the record cannot tell are one: kernels and gaps where kernels overlap (by
programmatic launch) or where their time was not measured, everything but the floor on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from analysis import groups
from analysis.sources.frame import Frame
from analysis.tables.form import FLAGS, Column, markdown_table, sentences_of_invalid, telling, titles
from runner import registry

Row = dict[str, Any]

METRICS = (
    "step_wall_ms",
    "step_wall_revisit_ms",
    "step_span_ms",
    "step_busy_ms",
    "kernel_sum_ms",
    "kernels_per_step",
    "launch_us",
    "floor_ms",
    "floor_achievable_ms",
    "read_gbs",
)
CELL_FIELDS = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache", "dtype", "options")
NAMED_FIELDS = ("gpu", "model", "ctx", "quant", "runtime", "cache")
TELLING_FIELDS = ("kernel", "dtype", "options", "attention", "weights_id", "protocol", "env_key", "code_key")
OVERLAPPING = 1.01
"""Kernels whose durations add up to more than this times the time in which any ran overlap; on an H200 without
programmatic launch the two agreed within 0.2 %."""

FLOOR, ACHIEVED, KERNELS, GAPS, HOST, FIRST_VISIT, REST = (
    "floor",
    "achieved",
    "kernels",
    "gaps",
    "host",
    "first visit",
    "rest",
)
KERNELS_AND_GAPS = "kernels and gaps"
TERMS = (FLOOR, ACHIEVED, KERNELS, GAPS, KERNELS_AND_GAPS, HOST, FIRST_VISIT, REST)

NEGATIVE = {
    ACHIEVED: "the probe read faster than the datasheet's peak",
    KERNELS: "the kernels ran faster than the probe says is possible: the probe read too low",
    GAPS: "kernels ran for longer in the profiled pass, where busy comes from, than the step took in the pass of span",
    KERNELS_AND_GAPS: "the step ran faster than the probe says is possible: the probe read too low",
    HOST: "the step took longer in the pass of span than in that of {last}",
    FIRST_VISIT: "the first visits, in the pass of {last}, took no longer than the revisits",
    REST: "the step ran faster than the probe says is possible: the probe read too low",
}
"""Term → what it says of the clocks when it is negative; `last` is the second of its two, which differs by cell."""

UNCAPTURED = "none"
"""The graph mode of a step that is launched kernel by kernel."""
ONE_GRAPH = "one CUDA graph a step ({how})"
FEWER_KERNELS = "fewer kernels, by fusing them, or launching each before the last has ended"
WORDS = {
    ACHIEVED: ("bandwidth that even a plain read does not reach here", *("nothing that software can do",) * 2),
    KERNELS: (
        "kernels that take longer than reading their bytes would",
        *("products and attention nearer to the memory's speed, and fusing what lies between them",) * 2,
    ),
    GAPS: ("device idle between kernels", ONE_GRAPH, FEWER_KERNELS),
    KERNELS_AND_GAPS: ("kernels and the gaps between them, which overlap and are one term", ONE_GRAPH, FEWER_KERNELS),
    HOST: (
        "the host, reading the token back and synchronising",
        f"{ONE_GRAPH}, or a faster host",
        "a loop that stays on the device",
    ),
    FIRST_VISIT: (
        "what a context length costs when the process meets it for the first time",
        *("a static cache (cache=static), which has one length",) * 2,
    ),
    REST: ("all that is not reading the bytes", *("a CPU has no clock that would tell more",) * 2),
}
"""Term → what it is, what removes it from a step that is launched kernel by kernel, and from another; `how` a runtime
gets its step into a graph."""
UNTOLD = (
    "kernels and the gaps between them, one term because the time in which kernels ran was not measured",
    *("not to be told before that is",) * 2,
)
"""The same of kernels and gaps where nothing is known of an overlap."""
LAUNCHES = (GAPS, KERNELS_AND_GAPS, HOST)


@dataclass(frozen=True)
class Term:
    """Milliseconds of a step, and the passes (or the probe, or the bytes) whose clocks they lie between."""

    name: str
    ms: float
    of: str

    @property
    def note(self) -> str | None:
        """Why a negative term is negative; None of another."""
        return NEGATIVE[self.name].format(last=self.of.rpartition(", ")[2]) if self.ms < 0 else None

    def to_json(self) -> Row:
        return {"name": self.name, "ms": self.ms, "of": self.of, "note": self.note}


def rows(frame: Frame, every_code: bool = False) -> list[Row]:
    """One row per group of valid sessions with its `terms` (which add up to `step_wall_ms`), the `largest` beyond the
    floor and a `sentence` on it; then the groups that are not valid."""
    found = groups.rows(frame, METRICS, every_code)
    return [_row(each) for each in found if each["valid"]] + [_named(each) for each in found if not each["valid"]]


def _named(each: Row) -> Row:
    names = ("cell_key", "status", "valid", "sessions", "superseded", "older_code", "flags", "reasons")
    return {name: each[name] for name in (*CELL_FIELDS, *TELLING_FIELDS, *names)}


def _row(each: Row) -> Row:
    terms = list(terms_of(each))
    largest = max((term for term in terms if term.name != FLOOR), key=lambda term: term.ms)
    return {
        **_named(each),
        **{name: each[name] for name in METRICS},
        "terms": [term.to_json() for term in terms],
        "largest": largest.name,
        "sentence": _sentence(each, largest),
    }


def terms_of(each: Row) -> Iterator[Term]:
    """The terms of a group's row, in the order of the clocks."""
    clocks = list(_clocks(each))
    ms = 0.0
    for name, clock_ms, of in clocks:
        yield Term(name, clock_ms - ms, of)
        ms = clock_ms


def _clocks(each: Row) -> Iterator[tuple[str, float, str]]:
    """(the term that ends there, the clock in ms, where both its ends come from), each clock after the one below it."""
    if each["floor_ms"] is not None:
        yield FLOOR, each["floor_ms"], "bytes and datasheet"
    yield ACHIEVED if each["floor_ms"] is not None else FLOOR, each["floor_achievable_ms"], "bytes and read probe"
    if each["step_span_ms"] is None:
        yield REST, each["step_wall_ms"], "read probe, wall"
        return
    yield from _device_clocks(each)
    if each["step_wall_revisit_ms"] is not None:
        yield HOST, each["step_wall_revisit_ms"], "span, revisit"
        yield FIRST_VISIT, each["step_wall_ms"], "revisit, wall"
    else:
        yield HOST, each["step_wall_ms"], "span, wall"


def _device_clocks(each: Row) -> Iterator[tuple[str, float, str]]:
    busy = each["step_busy_ms"]
    if busy is None or overlap(each):
        yield KERNELS_AND_GAPS, each["step_span_ms"], "read probe, span"
    else:
        yield KERNELS, busy, "read probe, busy"
        yield GAPS, each["step_span_ms"], "busy, span"


def overlap(each: Row) -> bool:
    """Do the step's kernels run over one another?"""
    added, busy = each["kernel_sum_ms"], each["step_busy_ms"]
    return added is not None and busy is not None and added > OVERLAPPING * busy


def _sentence(each: Row, largest: Term) -> str:
    """What the largest term is, and what would remove it."""
    is_untold = largest.name == KERNELS_AND_GAPS and each["step_busy_ms"] is None
    what, of_uncaptured, of_other = UNTOLD if is_untold else WORDS[largest.name]
    remedy = of_uncaptured.format(how=_how_captured(each)) if graph_mode(each) == UNCAPTURED else of_other
    launches = ""
    if largest.name in LAUNCHES and each["kernels_per_step"] and each["launch_us"]:
        launches = f" ({each['kernels_per_step']:.0f} kernels a step, {each['launch_us']:.1f} µs to launch one)"
    share = f"{largest.ms:.2f} of {each['step_wall_ms']:.2f} ms ({largest.ms / each['step_wall_ms']:.0%})"
    return f"{share} is {what}{launches}; what would remove it: {remedy}"


def graph_mode(each: Row) -> str | None:
    """How the step was launched. The mode that a record holds is its runtime's with its options: `runner verify` and
    `import` let no other pass. None of a runtime that this version does not know."""
    if each["runtime"] not in registry.runtime_names():
        return None
    options = (option.partition(":") for option in each["options"].split(",") if option)
    return registry.runtime(each["runtime"]).DECLARATION.graph_mode_with({name: value for name, _, value in options})


def _how_captured(each: Row) -> str:
    """What captures an uncaptured step and leaves it its kernels."""
    return "mode:reduce-overhead" if registry.runtime(each["runtime"]).DECLARATION.compiles else "runtime=graph"


def markdown(table: Sequence[Row]) -> str:
    """A column of milliseconds for each term, a sentence for each row, and what is in neither with its reasons."""
    valid = by_terms(table)
    lines = [*markdown_table(valid, columns(valid)), "", *([f"{passes(valid)}\n"] if valid else [])]
    lines += [f"- {sentence}" for sentence in (*remedies(valid), *negatives(valid))]
    others = [row for row in table if not row["valid"]]
    lines += sentences_of_invalid(others, (*CELL_FIELDS, *telling(others, CELL_FIELDS, TELLING_FIELDS)))
    return "\n".join(lines).rstrip("\n") + "\n"


def by_terms(table: Sequence[Row]) -> list[Row]:
    """The valid rows, each term and where it comes from also under names of their own for `columns`."""
    return [
        row
        | {f"term {term['name']}": term["ms"] for term in row["terms"]}
        | {f"of {term['name']}": term["of"] for term in row["terms"]}
        for row in table
        if row["valid"]
    ]


def columns(valid: Sequence[Row]) -> list[Column]:
    """The columns for rows of `by_terms`. A term that does not come from the same passes in all of them has a column
    that tells; of the others `passes` does."""
    names = [*NAMED_FIELDS, *telling(valid, NAMED_FIELDS, TELLING_FIELDS)]
    return [
        *(Column(name, name, "d" if name == "ctx" else "s") for name in names),
        *COUNTS,
        *(column for term in TERMS for column in _of_term(valid, term)),
        *LAUNCHING,
    ]


def _of_term(valid: Sequence[Row], name: str) -> Iterator[Column]:
    yield Column(name, f"term {name}", ".2f", optional=True)
    if len(_origins(valid, name)) > 1:
        yield Column(f"{name} from", f"of {name}")


def _origins(valid: Sequence[Row], name: str) -> list[str]:
    return list(dict.fromkeys(term["of"] for row in valid for term in row["terms"] if term["name"] == name))


def passes(valid: Sequence[Row]) -> str:
    """A sentence on the two clocks that each term lies between."""
    found = {name: origins for name in TERMS if (origins := _origins(valid, name))}
    told = (f"`{name}` {of[0] if len(of) == 1 else 'as its column says'}" for name, of in found.items())
    return f"The passes, probes and bytes between which each term lies: {'; '.join(told)}."


def remedies(valid: Sequence[Row]) -> list[str]:
    """What takes most time in each row beyond the floor, and what would remove it."""
    names = titles(valid, NAMED_FIELDS, TELLING_FIELDS)
    return [f"{name}: {row['sentence']}." for name, row in zip(names, valid, strict=True)]


def negatives(valid: Sequence[Row]) -> list[str]:
    """Of each negative term why it is."""
    return [
        f"{name}: `{term['name']}` is {term['ms']:.2f} ms: {term['note']}."
        for name, row in zip(titles(valid, NAMED_FIELDS, TELLING_FIELDS), valid, strict=True)
        for term in row["terms"]
        if term["note"]
    ]


COUNTS = (Column("n", "sessions", "d"), Column("ms/step", "step_wall_ms", ".2f"))
LAUNCHING = (
    Column("kernels a step", "kernels_per_step", ".0f", optional=True),
    Column("launch µs", "launch_us", ".2f", optional=True),
    FLAGS,
)
