"""What a quantised cell is held against: the fastest unquantised cell of its GPU, model, ctx and protocol.

Any runtime and either 16-bit dtype may be the baseline. Only sessions of one host are compared
(`analysis.statistics.savings`): without a common host no saving is estimated.
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
"""Versions that a row and its baseline should share; that of the kernel's package they cannot."""
Walls = Mapping[Key, Mapping[str, tuple[float, ...]]]
"""See `groups.walls_of_hosts`."""


@dataclass(frozen=True)
class Baseline:
    """A group of unquantised sessions, and what is saved against it."""

    group: Group
    saving: Saving

    @property
    def words(self) -> str:
        """Runtime and dtype."""
        return f"{self.group.runtime} {self.group.dtype}"


def is_plain(group: Group) -> bool:
    """True for unquantised sessions."""
    return group.quant == UNQUANTISED


def fastest(group: Group, plain: Iterable[Group], walls: Walls, runtime: str | None) -> Baseline | None:
    """Returns the fastest baseline that fits and shares a host, of a runtime or of any; None where there is none. Of a
    cell the newest sessions count."""
    newest: dict[str, Baseline] = {}
    for one in sorted(plain, key=lambda one: one.last_start_ms):
        if fits(one, group) and runtime in (None, one.runtime):
            saving = _saving(walls, one, group)
            newest |= {} if saving is None else {one.cell_key: Baseline(one, saving)}
    return min(newest.values(), key=lambda baseline: baseline.saving.ratio, default=None)


def _saving(walls: Walls, baseline: Group, group: Group) -> Saving | None:
    """Returns the saving of a group; 1 against itself, None if it shares no host with the baseline."""
    if baseline is group:
        return Saving(1.0, 1.0, 1.0, intervals.NONE, None, len(group.hosts))
    own, others = walls.get(group.key, {}), walls.get(baseline.key, {})
    shared = [(others[host], own[host]) for host in sorted(own.keys() & others.keys())]
    return savings.within_hosts(shared) if shared else None


def fits(one: Group, group: Group) -> bool:
    """True if `one` may be the group's baseline."""
    same = all(getattr(one, name) == getattr(group, name) for name in (*PLACE, "protocol"))
    return same and floors.DTYPE_BYTES[one.dtype] == floors.DTYPE_BYTES[group.dtype]


def ideal(group: Group, baseline: Baseline | None) -> float | None:
    """Returns the saving that the bytes allow: the baseline's streamed bytes over the group's."""
    whole, streamed = None if baseline is None else baseline.group.bytes_streamed, group.bytes_streamed
    return whole / streamed if whole and streamed else None


def flags(frame: Frame, group: Group, plain: Sequence[Group], baseline: Baseline | None) -> list[str]:
    """Returns the group's flags; `other-host` is added where all that it could be held against ran elsewhere, and
    `other-env` where its baseline ran with other versions of what both use."""
    found = set(group.flags)
    if baseline is None:
        found |= {OTHER_HOST} if any(fits(one, group) for one in plain) else set()
    elif _versions(frame, group) != _versions(frame, baseline.group):
        found.add(OTHER_ENV)
    return sorted(found)


def _versions(frame: Frame, group: Group) -> list[str | None]:
    known = frame.environments.get(group.env_key or "", {})
    return [known.get(name) for name in VERSIONS]
