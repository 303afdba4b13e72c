"""The CUDA Graphs table: what replaying a captured step is worth, per GPU, model and ctx."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from analysis import comparison, intervals
from analysis.comparison import Comparison, HostSessions
from runner import catalogue
from runner.ab import check
from runner.ab.manifest import Manifest
from runner.errors import BadRecord
from runner.metrics import lookup
from runner.records import spool

Record = Mapping[str, Any]
Row = dict[str, Any]

PAPER_PATH = Path(__file__).resolve().parents[1] / "experiments" / "paper.yaml"
FIELD = "runtime"
CELL_FIELDS = ("gpu", "model", "ctx", "quant", "kernel", "cache", "attention", "dtype", "weights_id")


@dataclass(frozen=True)
class Measured:
    """An A/B with the records of its complete blocks, by session id, and what follows from them."""

    manifest: Manifest
    records: Mapping[str, Record]
    hosts: tuple[HostSessions, ...]
    comparison: Comparison

    def arm(self, name: str) -> list[Record]:
        """Records of an arm, in the order in which they were measured."""
        blocks = self.manifest.complete
        return [self.records[entry.session] for block in blocks for entry in block.sessions if entry.arm == name]

    @property
    def ended_ms(self) -> int:
        return check.ended_ms(self.records)


def read(path: Path) -> Measured:
    """The A/B of a manifest. Raises BadRecord where it does not hold together or has no complete block."""
    manifest, records = check.read_checked(path)
    if not manifest.complete:
        raise BadRecord(f"{path}: no block is complete yet: run the same `ab` command again")
    hosts = tuple(_host(manifest, records, host_id) for host_id in dict.fromkeys(b.host_id for b in manifest.complete))
    return Measured(manifest, records, hosts, comparison.compare(hosts))


def _host(manifest: Manifest, records: Mapping[str, Record], host_id: str) -> HostSessions:
    entries = [entry for block in manifest.complete if block.host_id == host_id for entry in block.sessions]
    steps = {entry.session: float(records[entry.session]["latency"]["step_wall_ms"]) for entry in entries}
    a, b = (tuple(steps[entry.session] for entry in entries if entry.arm == name) for name in ("a", "b"))
    return HostSessions(host_id, a, b)


def read_folder(folder: Path) -> tuple[list[Measured], list[str]]:
    """Every A/B below the folder, and a line for each that cannot be read. Raises BadRecord where there is none."""
    paths = spool.manifest_files(folder)
    if not paths:
        raise BadRecord(f"{folder}: no A/B there (no {spool.MANIFEST_NAME})")
    found: list[Measured] = []
    rejected: list[str] = []
    for path in paths:
        try:
            found.append(read(path))
        except BadRecord as error:
            rejected.append(str(error))
    return found, rejected


def rows(found: Iterable[Measured]) -> list[Row]:
    """One row for each A/B between runtimes, in the order of gpu, model, ctx and arms."""
    table = [row(each) for each in found if each.manifest.field == FIELD]
    return sorted(table, key=lambda one: [one[name] for name in ("gpu", "model", "ctx", "arm_a", "arm_b")])


def row(measured: Measured) -> Row:
    """What is known of one A/B."""
    manifest, compared = measured.manifest, measured.comparison
    cell = manifest.arms["a"].cell
    low, high = compared.bootstrap or (None, None)
    both = [*measured.arm("a"), *measured.arm("b")]
    return {
        **{name: cell[name] for name in CELL_FIELDS},
        "field": manifest.field,
        "arm_a": manifest.arms["a"].value,
        "arm_b": manifest.arms["b"].value,
        "implied": manifest.implied,
        "bandwidth_gbs": lookup(both[0], "gpu.bandwidth_gbs"),
        "sessions": compared.sessions,
        "unused": compared.unused + (len(manifest.sessions) - len(both)) // 2,
        "hosts": compared.hosts,
        "a_ms": comparison.centre_ms(measured.hosts, "a"),
        "b_ms": comparison.centre_ms(measured.hosts, "b"),
        "ratio": compared.ratio,
        "ratio_low": compared.low,
        "ratio_high": compared.high,
        "interval": compared.interval,
        "bootstrap_low": low,
        "bootstrap_high": high,
        "cv_a": compared.cv_a,
        "cv_b": compared.cv_b,
        "sessions_needed": compared.sessions_needed,
        "kernels_a": _centre(measured.arm("a"), "latency.kernels_per_step"),
        "kernels_b": _centre(measured.arm("b"), "latency.kernels_per_step"),
        "busy_a_ms": _centre(measured.arm("a"), "latency.step_busy_ms"),
        "busy_b_ms": _centre(measured.arm("b"), "latency.step_busy_ms"),
        "launch_us": _centre(both, "probes.launch_us"),
        "verdict": compared.verdict,
        "reason": compared.reason,
        "as_declared": manifest.as_declared,
        "extension_due": _extension_due(manifest, compared),
        "flags": sorted({flag for found in both for flag in found["flags"]}),
        "paper": paper_row(cell["gpu"], cell["model"], cell["ctx"]),
        "ab": manifest.id,
    }


def _extension_due(manifest: Manifest, compared: Comparison) -> int:
    """The sessions of each arm that were declared for an interval wider than ±0.5 %, where it is and they were not
    asked for yet; 0 otherwise."""
    declared = manifest.declared
    asked = max(manifest.asked) > declared.sessions
    needed = compared.sessions_needed
    wide = needed is not None and needed > compared.sessions
    return declared.extension if wide and not asked and manifest.done >= declared.sessions else 0


def _centre(found: Sequence[Record], path: str) -> float | None:
    return intervals.centre([lookup(one, path) for one in found])


@cache
def _paper() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(PAPER_PATH.read_text(encoding="utf-8"))
    return loaded


def paper_rows() -> list[Row]:
    """The paper's own rows, with the datasheet bandwidth of their GPUs."""
    gpus = catalogue.gpus()
    return [{**row, "bandwidth_gbs": gpus[row["gpu"]].bandwidth_gbs.value} for row in _paper()["graphs"]]


def paper_row(gpu: str, model: str, ctx: int) -> Row | None:
    """The paper's row for a cell, None where it has none."""
    wanted = (gpu, model, ctx)
    return next((row for row in _paper()["graphs"] if (row["gpu"], row["model"], row["ctx"]) == wanted), None)


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
    return [row for row in _paper()["graphs"] if (row["gpu"], row["model"], row["ctx"]) not in ours]


def summary(measured: Measured) -> dict[str, Any]:
    """The comparison of any A/B, as JSON."""
    return {**row(measured), "comparison": asdict(measured.comparison)}
