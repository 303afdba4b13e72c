"""The sessions behind rows that are derived from groups of sessions and from A/Bs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from analysis import groups
from analysis.ab import Measured
from analysis.abrow import ABRow
from analysis.group import Group, Key
from analysis.row import TracedRow, ab_anchor, group_anchor, sessions_anchor
from analysis.sources.columns import SESSION
from analysis.sources.frame import Frame

NAMED, FIRST = 40, 5
"""Number of sessions up to which a line names all of an origin, and else the number that it names."""
Origins = Mapping[str, Sequence[str]]
"""Ids of sessions by the anchor of their group or A/B in a report."""


@dataclass(frozen=True)
class Traces:
    """The sessions behind groups and A/Bs."""

    hosts: Mapping[Key, Mapping[str, str | None]] = field(default_factory=dict)
    """session and its host, for the counted sessions of each group"""
    compared: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """sessions of the complete blocks of each A/B"""

    def of_group(self, group: Group) -> Origins:
        """Returns the sessions of a group's values."""
        return {group_anchor(group.key): [*self.hosts.get(group.key, {})]}

    def of_ab(self, row: ABRow) -> Origins:
        """Returns the sessions of an A/B's ratio."""
        return {ab_anchor(row.ab): self.compared.get(row.ab, ())}

    def on_common_hosts(self, first: Group, second: Group) -> Origins:
        """Returns the sessions of two groups that ran on hosts of both."""
        common = {*first.hosts} & {*second.hosts}
        return {
            group_anchor(group.key): [
                session for session, host in self.hosts.get(group.key, {}).items() if host in common
            ]
            for group in (first, second)
        }


def traces(frame: Frame, compared: Iterable[Measured]) -> Traces:
    """Returns the sessions behind the groups and A/Bs of a frame."""
    hosts = dict(frame.sessions.select(SESSION, "host_id").iter_rows())
    return Traces(
        {key: {name: hosts[name] for name in sessions} for key, sessions in groups.counted_sessions(frame).items()},
        {each.manifest.id: [*each.sessions] for each in compared},
    )


def joined(*parts: Origins) -> Origins:
    """Returns the origins of all parts, each session once."""
    found: dict[str, list[str]] = {}
    for anchor, sessions in (item for part in parts for item in part.items()):
        known = found.setdefault(anchor, [])
        known += [session for session in sessions if session not in known]
    return found


def of_sessions(sessions: Iterable[str]) -> Origins:
    """Returns the origin of sessions that are neither a group nor an A/B; none without sessions."""
    listed = [*sessions]
    return {sessions_anchor(listed): listed} if listed else {}


def session_lines(rows: Iterable[TracedRow]) -> list[str]:
    """Returns a line with the sessions of each origin of the rows, each origin once. The name of a record's file ends
    with the id of its session."""
    every = joined(*(row.origins for row in rows))
    return [f"Sessions of {anchor}: {_named(sessions)}" for anchor, sessions in every.items() if sessions]


def _named(sessions: Sequence[str]) -> str:
    if len(sessions) <= NAMED:
        return ", ".join(sessions)
    return f"{', '.join(sessions[:FIRST])} and {len(sessions) - FIRST} more (`--format json` has all)"
