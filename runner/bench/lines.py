"""The result of a bench as plain lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner.bench.result import Bench, Entry
from runner.counts import counted
from runner.record import judgement

SPEEDS = ("runtime", "ms/step", "of the rounds", "r_floor")
RATIOS = ("ratio", "median", "of the rounds")


def lines(bench: Bench) -> Iterator[str]:
    """Yields the lines: what was measured, each runtime, each pair of them, and what the numbers do not show."""
    yield f"{bench.model} {bench.ctx} bf16 static {bench.gpu.key}: {_counts(bench)}"
    yield _floor(bench)
    yield ""
    measured = [each for each in bench.entries if each.speed is not None]
    yield from _table([SPEEDS, *map(_speed, measured)])
    for entry in bench.entries:
        yield from (f"{entry.runtime} has no speed: {reason}" for reason in entry.reasons)
    if bench.ratios:
        yield ""
        rows = [
            (f"{each.over} / {each.under}", f"{each.ratio:.3f}", f"{each.least:.3f} to {each.most:.3f}")
            for each in bench.ratios
        ]
        yield from _table([RATIOS, *rows])
    yield ""
    yield from (f"note: {text}" for text in (*_warnings(bench), *bench.caveats))


def _counts(bench: Bench) -> str:
    steps, warmup = bench.protocol.steps, bench.protocol.warmup
    return f"{counted(bench.rounds, 'round')} of {steps} steps each, after {warmup} to warm up"


def _floor(bench: Bench) -> str:
    read = f"a step reads {bench.bytes.streamed / 1e9:.3f} GB"
    if bench.floor_ms is None:
        return f"{read}; {bench.gpu.name} has no datasheet here, so no r_floor"
    bandwidth = f"{bench.gpu.bandwidth_gbs:g} GB/s of the datasheet ({bench.gpu.name})"
    return f"{read}: {bench.floor_ms:.3f} ms at the {bandwidth}"


def _speed(entry: Entry) -> tuple[str, ...]:
    speed = entry.speed
    assert speed is not None
    r_floor = "" if speed.r_floor is None else f"{speed.r_floor:.3f}"
    return entry.runtime, f"{speed.step_wall_ms:.3f}", f"{speed.least_ms:.3f} to {speed.most_ms:.3f}", r_floor


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yields a line per row. The first column is aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(text.rjust(width) for text, width in zip(others, widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()


def _warnings(bench: Bench) -> Iterator[str]:
    if judgement.is_shared(bench.snapshots):
        yield "other processes were on the card (shared-card)"
    if judgement.is_throttled(bench.snapshots):
        yield "the card ran with a lower clock than it could (throttled)"
    busy = max((each.other_cpu_cores or 0 for entry in bench.entries for each in entry.rounds), default=0)
    if busy > judgement.BUSY_HOST_CORES:
        yield f"other processes used up to {busy:g} CPU cores while steps were timed (host-busy)"
