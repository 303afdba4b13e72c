"""The fastest configuration of a GPU, and its distance from the memory floor."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from analysis import paper
from analysis.form import titles, unrepeated
from analysis.percent import percent
from analysis.question import Line, Question
from analysis.tables._floorrow import FloorRow

FEWEST = 3
"""Sessions that a row needs to qualify."""
CONFIGURATION = ("quant", "kernel", "runtime")
DISTINGUISHING = ("cache", "dtype", "attention", "weights_id", "options", "protocol", "env_key", "code_key")
SCOPE = f"valid, without a flag, at least {FEWEST} sessions, the paper's protocol"


def shortfalls(row: FloorRow) -> list[str]:
    """Returns why a valid row does not qualify as the fastest, empty if it does."""
    sessions = [] if row.sessions >= FEWEST else [f"{row.sessions} of {FEWEST} sessions"]
    protocol = [] if row.protocol == paper.PROTOCOL else [f"protocol {row.protocol}"]
    flags = [f"flagged {', '.join(row.flags)}"] if row.flags else []
    return [*flags, *sessions, *protocol]


def fastest(table: Sequence[FloorRow], gpu: str) -> FloorRow | None:
    """Returns the row of the shortest step of a GPU, None without a valid row.

    The rows of one model and ctx are compared: those with the most configurations that qualify, then with the most
    configurations at all. Rows that qualify come first, then rows with too many flags only, then all others.
    """
    return min(_compared(table, gpu), key=_step, default=None)


def _compared(table: Sequence[FloorRow], gpu: str) -> list[FloorRow]:
    """Returns the rows among which the fastest is sought."""
    valid = _valid(table, gpu)
    qualified = [row for row in valid if not shortfalls(row)]
    complete = [row for row in valid if row.sessions >= FEWEST and row.protocol == paper.PROTOCOL]
    by_place: dict[tuple[str, int], list[FloorRow]] = defaultdict(list)
    for row in qualified or complete or valid:
        by_place[row.model, row.ctx].append(row)

    def rank(rows: Sequence[FloorRow]) -> tuple[int, int, int]:
        return _configurations(rows), _configurations(_beside(valid, rows[0])), sum(row.sessions for row in rows)

    return max(by_place.values(), key=rank, default=[])


def _beside(rows: Sequence[FloorRow], row: FloorRow) -> list[FloorRow]:
    """Returns the rows of the same GPU, model and ctx."""
    place = (row.gpu, row.model, row.ctx)
    return [each for each in rows if (each.gpu, each.model, each.ctx) == place]


def _valid(table: Sequence[FloorRow], gpu: str) -> list[FloorRow]:
    return [row for row in table if row.valid and row.gpu == gpu and row.step_wall_ms is not None]


def _configurations(rows: Sequence[FloorRow]) -> int:
    return len({row.cell_key for row in rows})


def _step(row: FloorRow) -> float:
    assert row.step_wall_ms is not None
    return row.step_wall_ms


def fastest_line(table: Sequence[FloorRow], gpu: str) -> Line:
    """Returns the fastest configuration of a GPU with its step, and a caveat if no row qualifies."""
    row = fastest(table, gpu)
    if row is None:
        return Line("No row is valid")
    compared = _compared(table, gpu)
    (name,) = (title for title, each in zip(_names(compared), compared, strict=True) if each is row)
    valid = _valid(table, gpu)
    text = f"{name}, {_among(compared, _beside(valid, row))} ({row.model}, ctx {row.ctx})"
    return Line(text, f"{_step(row):.2f} ms", row, _caveat(valid, row))


def _among(compared: Sequence[FloorRow], beside: Sequence[FloorRow]) -> str:
    """Returns among how many configurations of its model and ctx a row is the fastest."""
    count, measured = _configurations(compared), _configurations(beside)
    if count > 1:
        return f"fastest of {count} configurations"
    return "the only configuration" if measured == 1 else f"the only one of {measured} configurations that qualifies"


def _names(rows: Sequence[FloorRow]) -> list[str]:
    return [unrepeated(title) for title in titles(rows, CONFIGURATION, DISTINGUISHING)]


def _caveat(valid: Sequence[FloorRow], row: FloorRow) -> str:
    """Returns why the fastest row does not qualify, and the most common flag if each row has one."""
    own = _doubts(row)
    if not own:
        return ""
    ((flag, count),) = Counter(flag for each in valid for flag in each.flags).most_common(1) or [("", 0)]
    why = f" ({flag} on {count} of {len(valid)})" if all(each.flags for each in valid) else ""
    return f"{own}: no row qualifies{why}"


def _doubts(row: FloorRow) -> str:
    """Returns why the row does not qualify, as the beginning of a sentence; empty if it does."""
    shown = "; ".join(shortfalls(row))
    return f"{shown[:1].upper()}{shown[1:]}"


def distance_line(table: Sequence[FloorRow], gpu: str) -> Line:
    """Returns how much of the memory-bound limit the fastest configuration reaches.

    The limit is the measured read bandwidth if there is no datasheet.
    """
    row = fastest(table, gpu)
    if row is None:
        return Line("No row is valid")
    if row.r_floor is not None and row.floor_ms is not None:
        slowdown = f"it takes {1 / row.r_floor:.1f} times as long as reading its bytes ({row.floor_ms:.2f} ms)"
        return Line(f"of the floor: {slowdown}", rounded(row.r_floor), row, _doubts(row))
    if row.r_floor_achievable is not None:
        slowdown = f"it takes {1 / row.r_floor_achievable:.1f} times as long as reading its bytes"
        limit = "of the measured read bandwidth, since the catalogue has no datasheet bandwidth"
        return Line(f"{limit}: {slowdown}", rounded(row.r_floor_achievable), row, _doubts(row))
    return Line("The bandwidth of this GPU is unknown, so it has no floor")


def rounded(ratio: float) -> str:
    """Returns a percentage such as `3.3 %` or `45 %`."""
    return percent(ratio, ".0%" if ratio >= 0.1 else ".1%")


QUESTIONS = (
    Question("Which configuration is fastest on each GPU?", fastest_line, SCOPE),
    Question("How far is it from the memory floor?", distance_line, "the same configuration"),
)
