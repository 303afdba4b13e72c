"""A/Bs, each as one row: arms, ratio, intervals, verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars

from analysis import groups, paper
from analysis.sources import records
from analysis.sources.columns import IMAGE, SESSION
from analysis.sources.frame import Cell, Frame, sessions_of
from analysis.statistics import intervals, kept
from analysis.statistics.comparison import Comparison, HostSessions
from runner.ab import check, facts
from runner.ab.beside import Beside
from runner.ab.facts import Facts
from runner.ab.manifest import Manifest
from runner.cell import catalogue
from runner.cell.jsonform import to_json
from runner.errors import BadRecord
from runner.record import spool
from runner.record.record import MEASURED

Row = dict[str, Any]

CELL_FIELDS = ("gpu", "model", "ctx", "quant", "kernel", "cache", "attention", "dtype", "weights_id")
METRICS = (groups.WALL, "kernels_per_step", "step_busy_ms", "launch_us", "read_gbs")
ARM_KEYS = ("cell_key", "code_key", "env_key")
ASKED = (*METRICS, SESSION, IMAGE)
"""What a frame must have for them."""


@dataclass(frozen=True)
class Measured:
    """An A/B with the sessions of its complete blocks (rows of a frame, by session id), and what follows from them.
    `unused` has the reason of each other block, `beside` what lies in its folder and in none of its blocks."""

    manifest: Manifest
    sessions: Mapping[str, Row]
    hosts: tuple[HostSessions, ...]
    comparison: Comparison
    unused: tuple[str, ...]
    beside: Beside

    def arm(self, name: str) -> list[Row]:
        """Sessions of an arm, in the order in which they were measured."""
        blocks = self.manifest.complete
        return [self.sessions[entry.session] for block in blocks for entry in block.sessions if entry.arm == name]

    @property
    def period_ms(self) -> tuple[int, int]:
        """When it was measured, milliseconds since the epoch."""
        found = self.sessions.values()
        return min(each["started_ms"] for each in found), max(each["finished_ms"] for each in found)


def of_frame(frame: Frame, bootstrapped: bool = True) -> tuple[list[Measured], list[str]]:
    """Every A/B of a frame that has a complete block, and a line for each whose sessions are not all there or do not
    fit it. Where only ratio and verdict are asked for, the bootstrap can be left out."""
    rows = frame.sessions.filter(polars.col("session").is_in(list(sessions_of(frame.manifests))))
    by_id = {row["session"]: row for row in rows.iter_rows(named=True)}
    found: list[Measured] = []
    left_out: list[str] = []
    for manifest in frame.manifests:
        try:
            told = _told(manifest, by_id, frame)
            beside = frame.beside.get(manifest.id, Beside())
            found += [_measured(manifest, by_id, told, beside, bootstrapped)] if manifest.complete else []
        except BadRecord as error:
            left_out.append(str(error))
    return found, left_out


def read(path: Path) -> Measured:
    """The A/B of a manifest. Raises BadRecord where it does not hold together or has no complete block."""
    checked = check.read_checked(path)
    if not checked.manifest.complete:
        raise BadRecord(f"{path}: no block is complete yet: run the same `ab` command again")
    frame = records.frame_of_records(checked.records.values(), ASKED)
    by_id = {row["session"]: row for row in frame.sessions.iter_rows(named=True)}
    told = {session: facts.of_record(found) for session, found in checked.records.items()}
    return _measured(checked.manifest, by_id, told, checked.beside)


def _told(manifest: Manifest, by_id: Mapping[str, Row], frame: Frame) -> Mapping[str, Facts]:
    """What the sessions of an A/B tell. Raises BadRecord where one is not there, or the manifest of a store says
    otherwise; that of a folder was held against the records when it was read."""
    name, entries = f"A/B {manifest.title} ({manifest.id})", manifest.sessions
    if missing := [entry.session for entry in entries if entry.session not in by_id]:
        raise BadRecord(f"{name}: {len(missing)} of its sessions are not there ({missing[0]})")
    if frame.facts:
        return frame.facts
    told = {entry.session: _facts(by_id[entry.session], frame.cells) for entry in entries}
    if lines := list(check.told_differences(manifest, told)):
        raise BadRecord(f"{name}: {lines[0]}")
    return told


def _facts(row: Row, cells: Mapping[str, Cell]) -> Facts:
    """A store tells at a glance the key of an environment, and of a container its image."""
    return Facts(
        stated={"session.id": row["session"]},
        cell_key=row["cell_key"],
        kernel=cells[row["cell_key"]]["kernel"],
        host_id=row["host_id"],
        code_key=row["code_key"],
        place=f"the image {row[IMAGE]}" if row[IMAGE] else facts.INTERPRETER,
        versions={"env_key": row["env_key"]},
        is_measured=row["status"] == MEASURED,
        is_valid=bool(row["valid"]),
        reasons=row["reasons"],
        started_ms=row["started_ms"],
        finished_ms=row["finished_ms"],
    )


def _measured(
    manifest: Manifest, by_id: Mapping[str, Row], told: Mapping[str, Facts], beside: Beside, bootstrapped: bool = True
) -> Measured:
    entries = [entry for block in manifest.complete for entry in block.sessions]
    sessions = {entry.session: by_id[entry.session] for entry in entries}
    hosts = tuple(_host(manifest, sessions, host_id) for host_id in dict.fromkeys(b.host_id for b in manifest.complete))
    unused = tuple(check.unused_blocks(manifest, told))
    return Measured(manifest, sessions, hosts, kept.compare(hosts, bootstrapped), unused, beside)


def _host(manifest: Manifest, sessions: Mapping[str, Row], host_id: str) -> HostSessions:
    entries = [entry for block in manifest.complete if block.host_id == host_id for entry in block.sessions]
    steps = {entry.session: float(sessions[entry.session][groups.WALL]) for entry in entries}
    a, b = (tuple(steps[entry.session] for entry in entries if entry.arm == name) for name in ("a", "b"))
    return HostSessions(host_id, a, b)


def paths_in(folder: Path) -> list[Path]:
    """The manifests below the folder. Raises BadRecord where there is none."""
    spool.check_folder(folder, BadRecord)
    paths = spool.manifest_files(folder)
    if not paths:
        raise BadRecord(f"{folder}: no A/B there (no {spool.MANIFEST_NAME})")
    return paths


def read_all(paths: Sequence[Path]) -> tuple[list[Measured], list[str]]:
    """The A/Bs of these manifests, and a line for each that cannot be read."""
    found: list[Measured] = []
    rejected: list[str] = []
    for path in paths:
        try:
            found.append(read(path))
        except BadRecord as error:
            rejected.append(str(error))
    return found, rejected


def row(measured: Measured) -> Row:
    """What is known of one A/B."""
    manifest, compared = measured.manifest, measured.comparison
    cell = to_json(manifest.arms["a"].cell)
    low, high = compared.bootstrap or (None, None)
    arm_a, arm_b = measured.arm("a"), measured.arm("b")
    both = [*arm_a, *arm_b]
    known = catalogue.gpus().get(cell["gpu"])
    return {
        **{name: cell[name] for name in CELL_FIELDS},
        "field": manifest.field,
        "arm_a": manifest.arms["a"].value,
        "arm_b": manifest.arms["b"].value,
        "implied": manifest.implied,
        "study": manifest.study,
        "bandwidth_gbs": known.bandwidth_gbs.value if known else None,
        "sessions": compared.sessions,
        "unused": compared.unused + (len(manifest.sessions) - len(both)) // 2,
        "unused_reasons": list(measured.unused),
        "planned": max(manifest.asked),
        "missing": max(manifest.asked) - manifest.done,
        "unnamed": list(measured.beside.measured),
        "unmeasured": dict(measured.beside.ended),
        "hosts": compared.hosts,
        "a_ms": compared.a_ms,
        "b_ms": compared.b_ms,
        "ratio": compared.ratio,
        "ratio_low": compared.low,
        "ratio_high": compared.high,
        "interval": compared.interval,
        "bootstrap_low": low,
        "bootstrap_high": high,
        "cv_a": compared.cv_a,
        "cv_b": compared.cv_b,
        "sessions_needed": compared.sessions_needed,
        "kernels_a": _centre(arm_a, "kernels_per_step"),
        "kernels_b": _centre(arm_b, "kernels_per_step"),
        "busy_a_ms": _centre(arm_a, "step_busy_ms"),
        "busy_b_ms": _centre(arm_b, "step_busy_ms"),
        "launch_us": _centre(both, "launch_us"),
        "read_gbs": _centre(both, "read_gbs"),
        "verdict": compared.verdict,
        "reason": compared.reason,
        "as_declared": manifest.as_declared,
        "extension_due": _extension_due(manifest, compared),
        "flags": groups.flags([each["flags"] for each in both], []),
        "paper": paper.graphs_row(cell["gpu"], cell["model"], cell["ctx"]),
        "protocol": both[0]["protocol"],
        **{f"{key}_{name}": arm[0][key] for name, arm in (("a", arm_a), ("b", arm_b)) for key in ARM_KEYS},
        "last_start_ms": max(each["started_ms"] for each in both),
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


def _centre(found: Sequence[Row], name: str) -> float | None:
    return intervals.centre([one[name] for one in found])


def summary(measured: Measured) -> dict[str, Any]:
    """The comparison of any A/B, as JSON."""
    return {**row(measured), "comparison": asdict(measured.comparison)}
