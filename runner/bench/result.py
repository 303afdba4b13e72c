"""The result of a bench: a JSON file of its own kind, which is no record, and the numbers that follow from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import median

from runner.cell.cell import Cell
from runner.cell.jsonform import to_json
from runner.cell.protocol import Protocol
from runner.record.judgement import R_FLOOR_LIMIT
from runner.record.sections.gate import GateVersion2
from runner.record.sections.head import GpuInfo
from runner.record.sections.passes import WallPass
from runner.record.sections.quantities import Bytes
from runner.record.sections.surroundings import Environment, Host, Snapshots

SCHEMA, VERSION = "decode-floor.bench", 1
CAVEATS = (
    "one process: what one runtime leaves behind (clocks, memory, caches) may help or harm the next",
    "synthetic weights, and no profile of what ran",
    "no record, no interval and no verdict: `python -m runner ab --field runtime` compares two runtimes",
)
"""The limits of a bench, for its readers."""


@dataclass(frozen=True)
class Speed:
    """The speed of a runtime: the median of a round is that of its steps."""

    step_wall_ms: float
    """ms: median of the rounds' medians"""
    least_ms: float
    """ms: smallest median of a round"""
    most_ms: float
    """ms: largest median of a round"""
    r_floor: float | None
    """floor_ms / step_wall_ms; null without a datasheet"""


@dataclass(frozen=True)
class Entry:
    """A runtime of the bench."""

    runtime: str
    reasons: tuple[str, ...]
    """why it has no speed; empty if the answers of all its steps are right"""
    speed: Speed | None
    """null if there is a reason"""
    cell: Cell | None = None
    """null if the runtime does not go with this device"""
    environment: Environment | None = None
    """null if its step was not built"""
    gate: GateVersion2 | None = None
    """how its answers were checked: driven steps, and every timed one; null if its step was not built"""
    rounds: tuple[WallPass, ...] = ()
    """its pass in each round, in order, with the raw steps"""


@dataclass(frozen=True)
class Ratio:
    """The time of a step of one runtime over that of another, in the same round."""

    over: str
    under: str
    ratio: float
    """median over the rounds"""
    least: float
    """smallest of a round"""
    most: float
    """largest of a round"""


@dataclass(frozen=True)
class Bench:
    """The file."""

    model: str
    ctx: int
    protocol: Protocol
    rounds: int
    seed: int
    gpu: GpuInfo
    tree_key: str
    """hash of all the runner's modules and data files"""
    host: Host
    snapshots: Snapshots
    """the card's state before loading and after the last round"""
    bytes: Bytes
    """bytes of a step, the same for every runtime"""
    floor_ms: float | None
    """ms to read the streamed bytes at the datasheet's bandwidth; null without a datasheet"""
    turns: tuple[tuple[str, ...], ...]
    """order of the runtimes in each round"""
    entries: tuple[Entry, ...]
    ratios: tuple[Ratio, ...]
    """each pair of runtimes that have a speed"""
    schema: str = SCHEMA
    version: int = VERSION
    caveats: tuple[str, ...] = field(default=CAVEATS)
    """limits of a bench, for its readers"""


def dump(bench: Bench) -> str:
    """Returns the file's text, its schema first, with one line per section."""
    sections = to_json(bench)
    ordered = {name: sections[name] for name in ("schema", "version", "caveats")} | sections
    lines = (f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in ordered.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def speed(rounds: Sequence[WallPass], floor_ms: float | None) -> Speed:
    """Returns the speed of a runtime by its rounds."""
    medians = round_medians(rounds)
    step_ms = median(medians)
    return Speed(step_ms, min(medians), max(medians), None if floor_ms is None else floor_ms / step_ms)


def round_medians(rounds: Sequence[WallPass]) -> list[float]:
    """Returns the median step of each round in ms."""
    return [median(each.steps_ms) for each in rounds]


def impossible(found: Speed) -> Iterator[str]:
    """Yields the reason if a speed is beyond what the card can read."""
    if found.r_floor is not None and found.r_floor > R_FLOOR_LIMIT:
        yield f"r_floor {found.r_floor:.3f} is impossible (above {R_FLOOR_LIMIT})"


def ratios(rounds: Mapping[str, Sequence[WallPass]]) -> tuple[Ratio, ...]:
    """Returns the ratio of each pair of runtimes, in their order, from the medians of each round."""
    medians = {runtime: round_medians(passes) for runtime, passes in rounds.items()}
    return tuple(_ratio(over, under, medians) for over, under in combinations(medians, 2))


def _ratio(over: str, under: str, medians: Mapping[str, Sequence[float]]) -> Ratio:
    each = [one / other for one, other in zip(medians[over], medians[under], strict=True)]
    return Ratio(over, under, median(each), min(each), max(each))


def turns(runtimes: Sequence[str], rounds: int) -> tuple[tuple[str, ...], ...]:
    """Returns the order of the runtimes in each round: forwards, backwards, then the same from the next runtime on.

    No runtime thus always runs first, or always after the same one. Without runtimes there are no rounds.
    """
    return tuple(_turn(tuple(runtimes), number) for number in range(rounds if runtimes else 0))


def _turn(runtimes: tuple[str, ...], number: int) -> tuple[str, ...]:
    start = number // 2 % len(runtimes)
    turn = runtimes[start:] + runtimes[:start]
    return turn[::-1] if number % 2 else turn
