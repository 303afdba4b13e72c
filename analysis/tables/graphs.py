"""The CUDA Graphs table: what replaying a captured step is worth, per GPU, model and ctx."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from analysis import ab
from analysis.ab import Measured, Row
from analysis.tables import paper

FIELD = "runtime"


def rows(found: Iterable[Measured]) -> list[Row]:
    """One row for each A/B between runtimes, in the order of gpu, model, ctx and arms."""
    table = [ab.row(each) for each in found if each.manifest.field == FIELD]
    return sorted(table, key=lambda one: [one[name] for name in ("gpu", "model", "ctx", "arm_a", "arm_b")])


COLUMNS = (
    ("gpu", "gpu", "s"),
    ("model", "model", "s"),
    ("ctx", "ctx", "d"),
    ("a", "arm_a", "s"),
    ("b", "arm_b", "s"),
    ("n", "sessions", "d"),
    ("hosts", "hosts", "d"),
    ("a ms", "a_ms", ".3f"),
    ("b ms", "b_ms", ".3f"),
    ("a / b", "ratio", ".3f"),
)
MORE_COLUMNS = (
    ("CV a", "cv_a", ".1%"),
    ("CV b", "cv_b", ".2%"),
    ("kernels a", "kernels_a", ".0f"),
    ("kernels b", "kernels_b", ".0f"),
    ("launch µs", "launch_us", ".2f"),
    ("n for ±0.5 %", "sessions_needed", "d"),
)


def markdown(table: Sequence[Row]) -> str:
    """The rows as a Markdown table, and the reason of each verdict below it."""
    header = [*(title for title, _, _ in COLUMNS), "95 %", "BCa", *(title for title, _, _ in MORE_COLUMNS)]
    header += ["verdict", "paper", "flags"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for each in table:
        cells = [_cell(each[name], form) for _, name, form in COLUMNS]
        cells += [_span(each["ratio_low"], each["ratio_high"], each["interval"])]
        cells += [_span(each["bootstrap_low"], each["bootstrap_high"], "ci95")]
        cells += [_cell(each[name], form) for _, name, form in MORE_COLUMNS]
        cells += [each["verdict"] or "–", _paper_words(each["paper"]), ", ".join(each["flags"])]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    lines += [_sentence(each) for each in table]
    return "\n".join(lines) + "\n"


def markdown_with_paper(table: Sequence[Row]) -> str:
    """The same, and the paper's rows that have none here."""
    lines = [f"- The paper, {row['gpu']} {row['model']} {row['ctx']}: {_paper_words(row)}" for row in _unmet(table)]
    return markdown(table) + "".join(f"{line}\n" for line in lines)


def _cell(value: Any, form: str) -> str:
    return "–" if value is None else format(value, form)


def _span(low: float | None, high: float | None, kind: str) -> str:
    if low is None or high is None or kind == "none":
        return "–"
    return f"{low:.3f}–{high:.3f}" + (" (range)" if kind == "range" else "")


def _sentence(each: Row) -> str:
    unused = f"; {each['unused']} more of each arm are not used" if each["unused"] else ""
    declared = "" if each["as_declared"] else "; more sessions were asked for than had been declared"
    due = f"; wider than ±0.5 %, so the declared {each['extension_due']} more are due" if each["extension_due"] else ""
    implied = "".join(f"; {each['field']} implies {name}: {a} and {b}" for name, (a, b) in each["implied"].items())
    verdict = each["verdict"] or "no verdict"
    name = f"{each['gpu']} {each['model']} {each['ctx']}, {each['arm_a']} against {each['arm_b']}"
    return f"- {name}: {verdict}: {each['reason']}{unused}{due}{declared}{implied}"


def _paper_words(row: Row | None) -> str:
    if row is None:
        return "–"
    steps = "" if row["a_ms"] is None else f"{row['a_ms']:.3f} → {row['b_ms']:.3f} ms, "
    interval = "" if row["ratio_low"] is None else f" [{row['ratio_low']:.3f}, {row['ratio_high']:.3f}]"
    return f"{steps}{row['ratio']:.3f}×{interval}"


def _unmet(table: Sequence[Row]) -> list[Row]:
    ours = {(each["gpu"], each["model"], each["ctx"]) for each in table}
    return [row for row in paper.graphs_rows() if (row["gpu"], row["model"], row["ctx"]) not in ours]
