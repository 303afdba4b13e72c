"""Baselines of quantised cells: the fastest unquantised cell of the same GPU, model, ctx and protocol.

A baseline may have any runtime and either 16-bit dtype. Only sessions of one host are compared
(`analysis.statistics.savings`); without a common host there is no saving.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from analysis.group import Group, Key
from analysis.sources.frame import Frame
from analysis.statistics import intervals, savings
from analysis.statistics.savings import Saving
from runner.cell import floors
from runner.record.flags import OTHER_ENV, OTHER_HOST

UNQUANTISED = "bf16"
PLACE = ("gpu", "model", "ctx")
VERSIONS = ("python", "torch", "cuda", "transformers", "driver")
"""Versions that a row and its baseline should share. The kernel's package is excluded, since it differs."""
Walls = Mapping[Key, Mapping[str, tuple[float, ...]]]
"""Session medians by group and host, see `groups.walls_of_hosts`."""


@dataclass(frozen=True)
class Baseline:
    """A group of unquantised sessions, and the saving over it."""

    group: Group
    saving: Saving

    @property
    def words(self) -> str:
        """Returns runtime and dtype as text."""
        return f"{self.group.runtime} {self.group.dtype}"


def is_plain(group: Group) -> bool:
    """Returns whether the sessions are unquantised."""
    return group.quant == UNQUANTISED


def fastest(group: Group, plain: Iterable[Group], walls: Walls, runtime: str | None) -> Baseline | None:
    """Returns the fastest baseline that fits and shares a host, None if there is none. `runtime` None allows any.

    The newest sessions of each cell count.
    """
    newest: dict[str, Baseline] = {}
    for candidate in sorted(plain, key=lambda candidate: candidate.last_start_ms):
        if fits(candidate, group) and runtime in (None, candidate.runtime):
            saving = _saving(walls, candidate, group)
            newest |= {} if saving is None else {candidate.cell_key: Baseline(candidate, saving)}
    return min(newest.values(), key=lambda baseline: baseline.saving.ratio, default=None)


def _saving(walls: Walls, baseline: Group, group: Group) -> Saving | None:
    """Returns the saving of a group over a baseline: 1 over itself, None without a common host."""
    if baseline is group:
        return Saving(1.0, 1.0, 1.0, intervals.NONE, None, len(group.hosts))
    group_walls, baseline_walls = walls.get(group.key, {}), walls.get(baseline.key, {})
    pairs = [(baseline_walls[host], group_walls[host]) for host in sorted(group_walls.keys() & baseline_walls.keys())]
    return savings.within_hosts(pairs) if pairs else None


def fits(candidate: Group, group: Group) -> bool:
    """Returns whether `candidate` may be the group's baseline."""
    same = all(getattr(candidate, name) == getattr(group, name) for name in (*PLACE, "protocol"))
    return same and floors.DTYPE_BYTES[candidate.dtype] == floors.DTYPE_BYTES[group.dtype]


def ideal(group: Group, baseline: Baseline | None) -> float | None:
    """Returns the saving that the bytes allow: streamed bytes of the baseline over those of the group."""
    whole, streamed = None if baseline is None else baseline.group.bytes_streamed, group.bytes_streamed
    return whole / streamed if whole and streamed else None


def flags(frame: Frame, group: Group, plain: Sequence[Group], baseline: Baseline | None) -> list[str]:
    """Returns the group's flags.

    `other-host` is added if all possible baselines ran on other hosts, `other-env` if the baseline ran with other
    versions of shared software.
    """
    group_flags = set(group.flags)
    if baseline is None:
        group_flags |= {OTHER_HOST} if any(fits(candidate, group) for candidate in plain) else set()
    elif _versions(frame, group) != _versions(frame, baseline.group):
        group_flags.add(OTHER_ENV)
    return sorted(group_flags)


def _versions(frame: Frame, group: Group) -> list[str | None]:
    environment = frame.environments.get(group.env_key or "", {})
    return [environment.get(name) for name in VERSIONS]
