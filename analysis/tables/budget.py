"""The gap budget: of each cell's step, where the time goes, as terms that add up to it.

The terms are differences of neighbouring clocks, from the least that the bytes allow to what the robot waits for:

    floor at the datasheet's peak → floor at the bandwidth this device achieves → kernels busy → span of the step on the
    device → wall

Each clock is the median session's. The clocks come from passes of their own (docs/methodology.md, "Clocks"), so that a
clock may be longer than the one above it: it is cut to that one, and the row says so. So each term lies between 0 and
the step, and they add up to it. How far the passes over the same lengths lie apart is the row's uncertainty. Beyond
`LIMIT` the step is not attributed: all but the floor and the kernels is one term. Terms between which the record cannot
tell are one, too: kernels and gaps where kernels overlap (by programmatic launch) or where their time was not measured,
everything but the floor on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import polars

from analysis import groups
from analysis.sources.frame import Frame
from analysis.tables.form import FLAGS, Column, markdown_table, sentences_of_invalid, telling, titles
from runner import registry
from runner.declarations import RuntimeDeclaration
from runner.record import judgement
from runner.record.flags import PASSES_DISAGREE

Row = dict[str, Any]

METRICS = (
    "step_wall_ms",
    "step_wall_revisit_ms",
    "step_span_ms",
    "step_rate_ms",
    "profiled_span_ms",
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

LIMIT = judgement.DISAGREEMENT_LIMIT
"""Passes that lie further apart than this share of the step attribute nothing."""
APART = "passes_apart"

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
NOT_ATTRIBUTED = "not attributed"
TERMS = (FLOOR, ACHIEVED, KERNELS, GAPS, KERNELS_AND_GAPS, HOST, FIRST_VISIT, NOT_ATTRIBUTED, REST)
OF_DISAGREEING = (GAPS, KERNELS_AND_GAPS, HOST, FIRST_VISIT)
"""The terms that passes tell which may disagree."""

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
        *("a static cache (cache=static), which has one length{flash}",) * 2,
    ),
    REST: ("all that is not reading the bytes", *("a CPU has no clock that would tell more",) * 2),
}
"""Term → what it is, what removes it from a step that is launched kernel by kernel, and from another; `how` a runtime
gets its step into a graph, `flash` the other remedy where attention has a backend to choose."""
FLASH = "sdpa:flash"
OR_FLASH = f", or `--options {FLASH}` where cuDNN is the attention's backend"
UNTOLD = (
    "kernels and the gaps between them, one term because the time in which kernels ran was not measured",
    *("not to be told before that is",) * 2,
)
"""The same of kernels and gaps where nothing is known of an overlap."""


@dataclass(frozen=True)
class Clock:
    """Milliseconds, the term that ends there, and the passes (or the probe, or the bytes) that tell both its ends.
    `told_ms` is what the clock itself says, more than `ms` where it was cut to the clock above it."""

    term: str
    told_ms: float
    of: str
    ms: float

    @property
    def name(self) -> str:
        """The pass, probe or bytes of the clock."""
        return self.of.rpartition(", ")[2]


@dataclass(frozen=True)
class Term:
    """Milliseconds of a step, between 0 and all of it, and the passes (or the probe, or the bytes) they lie between."""

    name: str
    ms: float
    of: str

    def to_json(self) -> Row:
        return {"name": self.name, "ms": self.ms, "of": self.of}


def rows(frame: Frame, every_code: bool = False) -> list[Row]:
    """One row per group of valid sessions with its `terms`, which add up to `step_wall_ms`; then the other groups.

    `uncertainty` is how far the passes over the same lengths lie apart, as a share of the step over these lengths, None
    where there is one pass. `cuts` names the clocks that were cut to the one above. `is_attributed` says whether both
    are small enough to name causes. `largest` is then the largest term beyond the floor, None where two are too near to
    each other for these passes. `sentence` says all of it.
    """
    apart = replace(frame, sessions=frame.sessions.with_columns(sessions_apart().alias(APART)))
    found = groups.rows(apart, (*METRICS, APART), every_code)
    return [_row(each) for each in found if each["valid"]] + [_named(each) for each in found if not each["valid"]]


def sessions_apart() -> polars.Expr:
    """Returns how far each session's passes lie apart, by the rule of `runner.record.metrics.passes_disagreement`."""
    base = polars.coalesce("step_wall_revisit_ms", "step_wall_ms")
    timed = (base, polars.col("step_span_ms"), polars.col("step_rate_ms"))
    low, high = polars.min_horizontal(*timed, "profiled_span_ms"), polars.max_horizontal(*timed)
    return polars.when(timed[1].is_not_null() & timed[2].is_not_null()).then((high - low) / base)


def _named(each: Row) -> Row:
    names = ("cell_key", "status", "valid", "sessions", "superseded", "older_code", "flags", "reasons")
    return {name: each[name] for name in (*CELL_FIELDS, *TELLING_FIELDS, *names)}


def _row(each: Row) -> Row:
    terms, cuts = list(terms_of(each)), cuts_of(each)
    largest = _largest(each, terms)
    return {
        **_named(each),
        **{name: each[name] for name in METRICS},
        "terms": [term.to_json() for term in terms],
        "uncertainty": uncertainty(each),
        "cuts": [f"{cut.name} by {cut.told_ms - cut.ms:.3f}" for cut in cuts],
        "is_attributed": is_attributed(each),
        "largest": None if largest is None else largest.name,
        "sentence": _sentence(each, terms, largest),
    }


def uncertainty(each: Row) -> float | None:
    """How far the passes over the same lengths lie apart, relative to the step over these lengths: as the sessions' own
    do (in the median), or as the row's clocks do, whichever is more. The profiled pass counts where it is the shortest:
    a profiler makes no step quicker. None where there is one pass."""
    if each["step_span_ms"] is None:
        return None
    base: float = each["step_wall_ms"] if each["step_wall_revisit_ms"] is None else each["step_wall_revisit_ms"]
    timed: list[float] = [base, *(ms for ms in (each["step_span_ms"], each.get("step_rate_ms")) if ms is not None)]
    profiled: float | None = each.get("profiled_span_ms")
    low: float = min(*timed, base if profiled is None else profiled)
    return max((max(timed) - low) / base, each.get(APART) or 0.0)


def is_attributed(each: Row) -> bool:
    """Do the passes of every session agree well enough to say where the time goes?"""
    step_ms: float = each["step_wall_ms"]
    cut_ms = max((clock.told_ms - clock.ms for clock in cuts_of(each)), default=0.0)
    return PASSES_DISAGREE not in each.get("flags", ()) and max(uncertainty(each) or 0.0, cut_ms / step_ms) <= LIMIT


def cuts_of(each: Row) -> list[Clock]:
    """The clocks that are longer than one above them."""
    return [clock for clock in clocks_of(each) if clock.ms < clock.told_ms]


def terms_of(each: Row) -> Iterator[Term]:
    """The terms of a group's row, in the order of the clocks: none is negative, and they add up to the step."""
    clocks = clocks_of(each)
    starts = [0.0, *(clock.ms for clock in clocks)]
    terms = [Term(clock.term, clock.ms - start, clock.of) for clock, start in zip(clocks, starts, strict=False)]
    if is_attributed(each):
        yield from terms
        return
    merged = [term for term in terms if term.name in OF_DISAGREEING]
    yield from (term for term in terms if term not in merged)
    if merged:
        yield Term(NOT_ATTRIBUTED, sum(term.ms for term in merged), f"{merged[0].of.partition(', ')[0]}, wall")


def clocks_of(each: Row) -> list[Clock]:
    """Each clock after the one below it, and none longer than the one above: the last is the step."""
    told = [clock for clock in _clocks(each) if clock[1] is not None]
    cut = [*accumulate((ms for _, ms, _ in reversed(told)), min)][::-1]
    return [Clock(name, ms, of, kept) for (name, ms, of), kept in zip(told, cut, strict=True)]


def _clocks(each: Row) -> Iterator[tuple[str, float, str]]:
    """(the term that ends there, the clock in ms, where both its ends come from)."""
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


def _largest(each: Row, terms: Sequence[Term]) -> Term | None:
    """The largest beyond the floor; None where the step is not attributed, or another is too near to it."""
    first, *others = _by_size(terms)
    margin = (uncertainty(each) or 0.0) * each["step_wall_ms"]
    too_near = any(first.ms - other.ms <= margin for other in others)
    return None if not is_attributed(each) or not first.ms or too_near else first


def _by_size(terms: Sequence[Term]) -> list[Term]:
    return sorted((term for term in terms if term.name != FLOOR), key=lambda term: -term.ms)


def _sentence(each: Row, terms: Sequence[Term], largest: Term | None) -> str:
    """Says what the largest term is and what would remove it, or why none is named."""
    if not is_attributed(each):
        return f"attribution is not possible: {_why_not(each)}"
    if largest is None:
        return _undecided(each, _by_size(terms))
    is_untold = largest.name == KERNELS_AND_GAPS and each["step_busy_ms"] is None
    what, of_uncaptured, of_other = UNTOLD if is_untold else WORDS[largest.name]
    remedy = of_uncaptured if graph_mode(each) == UNCAPTURED else of_other
    remedy = remedy.format(how=_how_captured(each), flash=_or_flash(each))
    return f"{_share(each, largest)} is {what}; what would remove it: {remedy}"


def _share(each: Row, term: Term) -> str:
    return f"{term.ms:.2f} of {each['step_wall_ms']:.2f} ms ({term.ms / each['step_wall_ms']:.0%})"


def _why_not(each: Row) -> str:
    """The passes that disagree, or the clock that was cut by more than the limit."""
    if (apart := uncertainty(each) or 0.0) > LIMIT:
        return f"the passes over the same lengths lie {apart:.0%} of a step apart (more than {LIMIT:.0%})"
    if PASSES_DISAGREE in each.get("flags", ()):
        return f"the passes of a session over the same lengths lie more than {LIMIT:.0%} of a step apart"
    cut = max(cuts_of(each), key=lambda clock: clock.told_ms - clock.ms)
    return f"the clock of {cut.name} says {cut.told_ms:.2f} ms, the one above it {cut.ms:.2f} ms"


def _undecided(each: Row, by_size: Sequence[Term]) -> str:
    if not by_size[0].ms:
        return "nothing of the step lies beyond its floor"
    near = [term for term in by_size if by_size[0].ms - term.ms <= (uncertainty(each) or 0.0) * each["step_wall_ms"]]
    told = " and ".join(f"`{term.name}` {term.ms:.2f}" for term in near)
    apart = f"passes {uncertainty(each) or 0.0:.1%} apart cannot order them"
    return f"{told} of {each['step_wall_ms']:.2f} ms are the largest; {apart}"


def _or_flash(each: Row) -> str:
    declared = _declared(each)
    has_choice = declared is not None and "sdpa" in declared.options and "sdpa:" not in each["options"]
    return OR_FLASH if has_choice else ""


def graph_mode(each: Row) -> str | None:
    """How the step was launched. The mode that a record holds is its runtime's with its options: `runner verify` and
    `import` let no other pass. None of a runtime that this version does not know."""
    declared = _declared(each)
    options = (option.partition(":") for option in each["options"].split(",") if option)
    return None if declared is None else declared.graph_mode_with({name: value for name, _, value in options})


def _declared(each: Row) -> RuntimeDeclaration | None:
    known = each["runtime"] in registry.runtime_names()
    return registry.runtime(each["runtime"]).DECLARATION if known else None


def _how_captured(each: Row) -> str:
    """What captures an uncaptured step and leaves it its kernels."""
    declared = _declared(each)
    return "mode:reduce-overhead" if declared is not None and declared.compiles else "runtime=graph"


def markdown(table: Sequence[Row]) -> str:
    """A column of milliseconds for each term, a sentence for each row, and what is in neither with its reasons."""
    valid = by_terms(table)
    lines = [*markdown_table(valid, columns(valid)), "", *([f"{passes(valid)}\n"] if valid else [])]
    lines += [f"- {sentence}" for sentence in remedies(valid)]
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
    """Says for each row what takes most time beyond the floor and what would remove it, or why that is not told."""
    names = titles(valid, NAMED_FIELDS, TELLING_FIELDS)
    return [f"{name}: {row['sentence']}." for name, row in zip(names, valid, strict=True)]


COUNTS = (
    Column("n", "sessions", "d"),
    Column("ms/step", "step_wall_ms", ".2f"),
    Column("passes apart", "uncertainty", ".1%", optional=True),
)
LAUNCHING = (
    Column("cut (ms)", "cuts", optional=True),
    Column("kernels a step", "kernels_per_step", ".0f", optional=True),
    Column("launch µs", "launch_us", ".2f", optional=True),
    FLAGS,
)
