"""The outcome of the planted bugs: how many the tests killed, with an interval, and why others survived."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from scipy.stats import binomtest

from tests.planted import sample
from tests.planted.sample import Mutation

ENOUGH = 0.85
UNEXPLAINED = "not explained yet"


@dataclass(frozen=True)
class Tried:
    """One planted bug: killed, timed out (which counts as killed), survived, or broken where it could not be tried."""

    mutation: Mutation
    outcome: str
    diff: str

    @property
    def lines(self) -> tuple[str, str]:
        """The lines before and after, without the indentation."""
        changed = [line for line in self.diff.splitlines() if not line.startswith(("---", "+++"))]
        before, after = (
            "\n".join(line[1:].strip() for line in changed if line.startswith(sign)) for sign in ("-", "+")
        )
        return before, after


def tried(dump: str) -> list[Tried]:
    """Returns the bugs that have a result, from what `cosmic-ray dump` prints: a work item and its result a line."""
    pairs = [json.loads(line) for line in dump.splitlines()]
    return sorted(
        (_tried(item, result) for item, result in pairs if result),
        key=lambda one: one.mutation,
    )


def _tried(item: Mapping[str, Any], result: Mapping[str, Any]) -> Tried:
    (change,) = item["mutations"]
    return Tried(sample.listed(change), _outcome(result), result["diff"] or "")


def _outcome(result: Mapping[str, Any]) -> str:
    if result["worker_outcome"] != "normal" or result["test_outcome"] not in ("killed", "survived"):
        return "broken"
    return "timed out" if result["output"] == "timeout" else str(result["test_outcome"])


def reasons(file: Path) -> dict[tuple[str, str, str], str]:
    """Returns the reasons why bugs survive, by module, line before, and line after."""
    entries = yaml.safe_load(file.read_text(encoding="utf-8")) or []
    return {(entry["module"], entry["line"], entry["becomes"]): entry["reason"] for entry in entries}


def rate(bugs: Iterable[Tried]) -> tuple[int, int]:
    """Returns how many were killed, and of how many."""
    outcomes = [bug.outcome for bug in bugs if bug.outcome != "broken"]
    return sum(outcome != "survived" for outcome in outcomes), len(outcomes)


def interval(killed: int, count: int) -> tuple[float, float]:
    """Returns the Clopper-Pearson interval of the share that is killed, at 95 % confidence."""
    found = binomtest(killed, count).proportion_ci(0.95, method="exact")
    return float(found.low), float(found.high)


def text(bugs: Sequence[Tried], planned: int, why: Mapping[tuple[str, str, str], str]) -> str:
    """Returns the report: a line a module, the survivors with their reasons, and the share in all."""
    names = sorted({bug.mutation.module for bug in bugs})
    lines = [f"{'killed':>7} {'timed out':>10} {'survived':>9}  module"]
    lines += [_row([bug for bug in bugs if bug.mutation.module == name], name) for name in names]
    lines += [_row(bugs, "all"), ""]
    for bug in bugs:
        if bug.outcome in ("survived", "broken"):
            lines += _explained(bug, why)
    return "\n".join([*lines, summary(bugs, planned)])


def _row(bugs: Sequence[Tried], name: str) -> str:
    killed, timed_out, survived = (
        sum(bug.outcome == outcome for bug in bugs) for outcome in ("killed", "timed out", "survived")
    )
    return f"{killed:7d} {timed_out:10d} {survived:9d}  {name}"


def _explained(bug: Tried, why: Mapping[tuple[str, str, str], str]) -> list[str]:
    place = f"{bug.mutation.module}:{bug.mutation.start[0]}"
    if bug.outcome == "broken":
        return [f"{place} could not be tried: {bug.mutation.operator}, occurrence {bug.mutation.occurrence}", ""]
    before, after = bug.lines
    reason = why.get((bug.mutation.module, before, after), UNEXPLAINED)
    return [f"{place} survived: {reason}", *_marked("-", before), *_marked("+", after), ""]


def _marked(sign: str, lines: str) -> list[str]:
    return [f"  {sign} {line}" for line in lines.splitlines()]


def summary(bugs: Sequence[Tried], planned: int) -> str:
    """Returns the last line: the share that is killed, its interval, and how much was tried of what is planned."""
    killed, count = rate(bugs)
    if not count:
        return f"0 of {planned} planted bugs tried"
    low, high = interval(killed, count)
    shares = f"{killed / count:.1%} (95 % interval {low:.1%} to {high:.1%}; at least {ENOUGH:.0%} wanted)"
    return f"{count} of {planned} planted bugs tried, {killed} killed: {shares}"


def is_enough(bugs: Sequence[Tried], planned: int) -> bool:
    """Returns whether all were tried and enough of them killed."""
    killed, count = rate(bugs)
    return count == planned and killed >= ENOUGH * count
