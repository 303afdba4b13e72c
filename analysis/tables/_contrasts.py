"""Contrasts: pairs of steps whose cells differ in one field, and everything else in which they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.group import Group
from analysis.tables._causes import ends
from analysis.tables._claimrow import FEWEST
from analysis.tables._differencerow import ContrastRow, SplitRow
from analysis.tables._trace import joined
from runner.counts import listed

PARTS = {"gpu": "card, and its host", "cache": "software", "options": "software", "runtime": "launches"}
"""The part of a step that a field of the cell changes."""
FIELDS = ("gpu", "model", "ctx", "runtime", "cache", "options")


@dataclass(frozen=True)
class Step:
    """A row with the group that it is made from."""

    group: Group
    row: SplitRow


@dataclass(frozen=True)
class _Pair:
    first: Step
    second: Step
    field: str


def contrasts(steps: Sequence[Step]) -> list[ContrastRow]:
    """Returns the rows that differ in exactly one of the fields that have a part."""
    return [_contrast(pair) for pair in _pairs(steps)]


def _pairs(steps: Sequence[Step]) -> Iterator[_Pair]:
    for number, first in enumerate(steps):
        for second in steps[number + 1 :]:
            different = [name for name in FIELDS if first.row.value(name) != second.row.value(name)]
            if len(different) == 1 and different[0] in PARTS:
                yield _Pair(first, second, different[0])


def _contrast(pair: _Pair) -> ContrastRow:
    first, second, field = pair.first.row, pair.second.row, pair.field

    def change(name: str) -> float | None:
        old, new = getattr(first, name), getattr(second, name)
        return None if old is None or new is None else new - old

    return ContrastRow(
        gpu=first.gpu,
        model=first.model,
        ctx=first.ctx,
        runtime=first.runtime,
        cache=first.cache,
        field=field,
        first=str(first.value(field)) or "default",
        second=str(second.value(field)) or "default",
        part=_part(pair),
        attention=" → ".join(dict.fromkeys(row.attention_backend or "unknown" for row in (first, second))),
        sessions=min(first.sessions, second.sessions),
        flags=sorted({*first.flags, *second.flags}),
        step_first_ms=first.step_wall_ms,
        step_second_ms=second.step_wall_ms,
        step_ms=second.step_wall_ms - first.step_wall_ms,
        kernels_ms=change("kernels_ms"),
        reading_ms=change("reading_ms"),
        outside_ms=change("outside_ms"),
        kernels_per_step=change("kernels_per_step"),
        decided="yes" if _are_apart(first, second) else "undecided",
        origins=joined(first.origins, second.origins),
    )


def _part(pair: _Pair) -> str:
    """Returns the part that the field changes, and what else differs, which may change the step as well."""
    others = [*_others(pair)]
    return PARTS[pair.field] + (f", or {listed(others, 'or')}" if others else "")


def _others(pair: _Pair) -> Iterator[str]:
    first, second = pair.first.group, pair.second.group
    if pair.field != "gpu" and not {*first.hosts} & {*second.hosts}:
        yield "the host"
    if first.env_key != second.env_key:
        yield "versions"
    if pair.field != "runtime" and first.code_key != second.code_key:  # runtimes are different code
        yield "our code"
    if pair.field != "options" and first.attention_backend != second.attention_backend:
        yield "attention"


def _are_apart(first: SplitRow, second: SplitRow) -> bool:
    (first_low, first_high), (second_low, second_high) = ends(first), ends(second)
    return min(first.sessions, second.sessions) >= FEWEST and (first_high < second_low or second_high < first_low)
