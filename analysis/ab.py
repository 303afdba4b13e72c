"""A/Bs read from their manifests and records, each as one row: arms, ratio, intervals, verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis import comparison, intervals, paper
from analysis.comparison import Comparison, HostSessions
from runner.ab import check
from runner.ab.manifest import Manifest
from runner.errors import BadRecord
from runner.metrics import lookup
from runner.records import spool

Record = Mapping[str, Any]
Row = dict[str, Any]

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
    def period_ms(self) -> tuple[int, int]:
        """When it was measured, milliseconds since the epoch."""
        return check.period_ms(self.records)


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
    return read_all(paths_in(folder))


def paths_in(folder: Path) -> list[Path]:
    """The manifests below the folder. Raises BadRecord where there is none."""
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
        "paper": paper.graphs_row(cell["gpu"], cell["model"], cell["ctx"]),
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


def summary(measured: Measured) -> dict[str, Any]:
    """The comparison of any A/B, as JSON."""
    return {**row(measured), "comparison": asdict(measured.comparison)}
