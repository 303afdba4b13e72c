"""The CUDA Graphs table: what replaying a captured step is worth, per GPU, model and ctx."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from analysis import ab, paper
from analysis.ab import Measured, Row
from analysis.statistics import intervals
from analysis.tables.form import FLAGS, Column, markdown_table, telling, titles

FIELD = "runtime"
ORDER = ("gpu", "model", "ctx", "arm_a", "arm_b")
CODES = ("code_key_a", "code_key_b")
SAME_BUT_CODE = ("cell_key_a", "cell_key_b", "env_key_a", "env_key_b", "protocol")
NO_AB = "no A/B between runtimes was measured: `python -m runner ab --field runtime` does it"
PLACE = 5
"""After so many columns an A/B has its place and its arms."""


def rows(found: Iterable[Measured], every_code: bool = False) -> list[Row]:
    """One row for each A/B between runtimes, in the order of gpu, model, ctx and arms.

    Of A/Bs that differ in nothing but the code of their sessions only those of the newest have a row, the code whose
    last session began last; `superseded` counts the others. With `every_code` each has its own.
    """
    table = [ab.row(each) | {"superseded": 0} for each in found if each.manifest.field == FIELD]
    shown = table if every_code else _newest(table)
    return sorted(shown, key=lambda one: [one[name] for name in (*ORDER, "last_start_ms", "ab")])


def _newest(table: Sequence[Row]) -> list[Row]:
    alike: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in table:
        alike[tuple(row[name] for name in SAME_BUT_CODE)].append(row)
    shown: list[Row] = []
    for same in alike.values():
        newest = max(same, key=lambda row: int(row["last_start_ms"]))
        of_newest = [row for row in same if all(row[name] == newest[name] for name in CODES)]
        shown += [row | {"superseded": len(same) - len(of_newest)} for row in of_newest]
    return shown


COLUMNS = (
    Column("gpu", "gpu"),
    Column("model", "model"),
    Column("ctx", "ctx", "d"),
    Column("a", "arm_a"),
    Column("b", "arm_b"),
    Column("n", "sessions", "d"),
    Column("missing", "missing", "d", optional=True),
    Column("hosts", "hosts", "d"),
    Column("superseded", "superseded", "d", optional=True),
    Column("a ms", "a_ms", ".3f"),
    Column("b ms", "b_ms", ".3f"),
    Column("a / b", "ratio", ".3f"),
    Column("95 %", "span"),
    Column("BCa", "bootstrap_span"),
    Column("CV a", "cv_a", ".1%"),
    Column("CV b", "cv_b", ".2%"),
    Column("kernels a", "kernels_a", ".0f"),
    Column("kernels b", "kernels_b", ".0f"),
    Column("launch µs", "launch_us", ".2f"),
    Column("n for ±0.5 %", "sessions_needed", "d"),
    Column("verdict", "verdict"),
    Column("paper", "paper_words"),
    FLAGS,
)


TELLING_FIELDS = (
    *("quant", "kernel", "cache", "dtype", "attention", "weights_id", "protocol"),
    *("env_key_a", "env_key_b", "code_key_a", "code_key_b", "study", "ab"),
)


def columns(table: Sequence[Row]) -> list[Column]:
    """The columns for these rows."""
    more = telling(table, [column.key for column in COLUMNS[:PLACE]], TELLING_FIELDS)
    return [*COLUMNS[:PLACE], *(Column(field, field) for field in more), *COLUMNS[PLACE:]]


def names(table: Sequence[Row]) -> list[str]:
    """What to call the cell of each A/B."""
    return titles(table, ("gpu", "model", "ctx"), TELLING_FIELDS)


def worded(each: Row) -> Row:
    """The row with what `COLUMNS` shows of it as words."""
    return {
        **each,
        "superseded": each.get("superseded") or None,
        "missing": each["missing"] or None,
        "span": _span(each["ratio_low"], each["ratio_high"], each["interval"], each["sessions"]),
        "bootstrap_span": _span(each["bootstrap_low"], each["bootstrap_high"], intervals.CI95),
        "paper_words": _paper_words(each["paper"]),
    }


def markdown(table: Sequence[Row]) -> str:
    """The rows as a Markdown table, and the reason of each verdict below it."""
    lines = [*markdown_table([worded(each) for each in table], columns(table)), ""]
    lines += [f"- {sentence(each)}" for each in table]
    return "\n".join(lines) + "\n"


def markdown_with_paper(table: Sequence[Row]) -> str:
    """The same, and the paper's rows that have none here."""
    return markdown(table) + "".join(f"- {sentence}\n" for sentence in paper_sentences(table))


def paper_sentences(table: Sequence[Row]) -> list[str]:
    """The paper's rows that have none here, and what else the paper says of the eager step of one."""
    ours = {(each["gpu"], each["model"], each["ctx"]) for each in table}
    unmet = [row for row in paper.graphs_rows() if (row["gpu"], row["model"], row["ctx"]) not in ours]
    told = [f"The paper, {row['gpu']} {row['model']} {row['ctx']}: {_paper_words(row)}" for row in unmet]
    return told + paper.two_steps_of(
        {(row["gpu"], row["model"], row["ctx"]) for row in paper.graphs_rows() if row["a_ms"]}
    )


def _span(low: float | None, high: float | None, kind: str, sessions: int | None = None) -> str | None:
    """With what it is where that is not 95 %: the range, or the interval of five sessions of each arm."""
    if low is None or high is None or kind == intervals.NONE:
        return None
    label = None if sessions is None else intervals.label(kind, sessions)
    return f"{low:.3f}–{high:.3f}" + ("" if label in (None, "95 %") else f" ({label})")


def sentence(each: Row) -> str:
    """The verdict of an A/B with its reason, and what else is to be known of it."""
    unused = f"; {each['unused']} more of each arm are not used" if each["unused"] else ""
    declared = "" if each["as_declared"] else "; more sessions were asked for than had been declared"
    due = f"; wider than ±0.5 %, so the declared {each['extension_due']} more are due" if each["extension_due"] else ""
    implied = "".join(f"; {each['field']} implies {name}: {a} and {b}" for name, (a, b) in each["implied"].items())
    gone = "".join(f"; {text}" for text in _not_there(each))
    verdict = each["verdict"] or "no verdict"
    name = f"{each['gpu']} {each['model']} {each['ctx']}, {each['arm_a']} against {each['arm_b']}"
    return f"{name}: {verdict}: {each['reason']}{unused}{gone}{due}{declared}{implied}"


def _not_there(each: Row) -> Iterator[str]:
    """Why blocks are not used, and which sessions the ratio does not rest on though they were planned or measured."""
    yield from each["unused_reasons"]
    if each["missing"]:
        yield f"{each['missing']} of the {each['planned']} planned sessions of each arm are missing"
    if unnamed := each["unnamed"]:
        yield f"{len(unnamed)} measured sessions lie beside it and are in no block: {', '.join(unnamed)}"
    if ended := each["unmeasured"]:
        yield "ended without a measurement: " + ", ".join(f"{count} {status}" for status, count in ended.items())


def _paper_words(row: Row | None) -> str | None:
    if row is None:
        return None
    steps = "" if row["a_ms"] is None else f"{row['a_ms']:.3f} → {row['b_ms']:.3f} ms, "
    interval = "" if row["ratio_low"] is None else f" [{row['ratio_low']:.3f}, {row['ratio_high']:.3f}]"
    return f"{steps}{row['ratio']:.3f}×{interval}"
