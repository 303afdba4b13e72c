"""What a study costs beside its measurements: a session's overhead over its worker, a dry run, and the import of its
records.

python -m tests.bench_study FOLDER [--sessions 5] [--records 1000] [--runs 100000] [--rounds 2]
                            [--out docs/evidence/study/HOST.json]
python -m tests.bench_study --render docs/evidence/study/*.json             # the tables of docs/scale.md

A session is the smallest one of a CPU, run by this process as `cell --sessions N` runs it: into the spool only, and
with a commit to SQLite. Its overhead is all of its time but the worker process's own, from its start to its end, and
the wait for another session of the host. The least of the sessions after the first, which also imports MLflow and makes
the store: what else the machine does only adds to a time.

An import is `python -m runner import` in a process of its own, of records that no store has, into an empty store and
into one with as many runs as asked for, in turns; the least of the rounds counts. The large store is made in FOLDER
where it is not there yet (that of `make bench-tables` is the same), and a copy of it is imported into.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch

from runner import display, store
from runner.launch import process, session
from runner.launch.container import place
from runner.launch.process import DEFAULT_TIMEOUT_S
from runner.machine import hostlock, nvml
from runner.plan.request import Request
from runner.record import expected, record, spool, written
from tests import bench_tables
from tests.support.derive import file_name
from tests.support.measurements import measurements

OVERHEAD_S, IMPORT_S, IMPORT_RECORDS, GROWTH, DRY_RUN_S = 0.2, 300.0, 1000, 1.1, 2.0
DRY_RUNS = 3
SMALLEST = Request(gpu="cpu", model="tiny", ctx="64", warmup="1", steps="30")
HOST, WORKER, COMMIT, OTHER, OVERHEAD = "host", "worker", "commit", "other", "overhead"
PARTS = {
    "cards": (nvml, "list_gpus"),
    "resolve": (session, "resolve"),
    "place": (place, "choose"),
    "abandoned": (spool, "clear_abandoned"),
    "expected time": (expected, "expected_s"),
    HOST: (hostlock, "_acquire"),
    "process start": (process, "_start"),
    WORKER: (process, "_follow"),
    "process end": (process, "_stop"),
    "record": (written, "read"),
}
"""Part of a session → the function that it is. What is in none of them is OTHER."""
CELLS = """
matrix:
  gpu: [h100, a100, l40s, l4]
  model: [qwen2.5-7b, mistral-7b, llama-3.1-8b]
  runtime: [eager, graph, compile, fused]
  cache: static
  ctx: [{contexts}]
"""
"""Study of 48 cells for each context."""

Row = dict[str, Any]


class Stopwatch:
    """Seconds of the parts of one session."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def timing(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds[part] += time.perf_counter() - began

        return timed


def session_parts(index: int, folder: Path, commits: bool) -> Row:
    """Seconds of each part of one session; OVERHEAD is all of them but WORKER and HOST."""
    watch = Stopwatch()
    commit = watch.timing(COMMIT, store.commit) if commits else None
    settings = session.Settings(folder, commit, None, False, DEFAULT_TIMEOUT_S, display.choose())
    with ExitStack() as patches:
        for part, (owner, name) in PARTS.items():
            patches.enter_context(patch.object(owner, name, watch.timing(part, getattr(owner, name))))
        began = time.perf_counter()
        finished = session.run_session(SMALLEST, index, int(time.time() * 1000), settings)
        total_s = time.perf_counter() - began
    if finished.store_error is not None:
        raise finished.store_error
    found = {part: watch.seconds[part] for part in (*PARTS, *([COMMIT] if commits else []))}
    overhead_s = total_s - found[WORKER] - found[HOST]
    return {**found, OTHER: total_s - sum(found.values()), OVERHEAD: overhead_s}


def session_rows(sessions: int) -> list[Row]:
    """Parts of a session, spool only and with SQLite: those of the first session, and the least of the later ones."""
    rows = []
    for way in ("spool", "sqlite"):
        folder = Path(tempfile.mkdtemp(prefix="decode-floor-bench-"))
        try:
            with patch.dict(os.environ, MLFLOW_TRACKING_URI=f"sqlite:///{folder}/mlflow.db"):
                first, *later = (
                    session_parts(index, folder / "spool", commits=way == "sqlite") for index in range(sessions + 1)
                )
        finally:
            shutil.rmtree(folder)
        rows += [{"to": way, "part": part, "first_s": first[part], "later_s": _least(later, part)} for part in first]
    return rows


def _least(rows: Sequence[Row], part: str) -> float:
    return min(float(row[part]) for row in rows)


def import_rows(folder: Path, records: int, runs: int, rounds: int) -> list[Row]:
    """The import of new records into an empty store and into one that has `runs`: the least of the rounds."""
    big = Path(next(uri for _, _, uri in bench_tables.stores(folder, None, [runs])).removeprefix("sqlite:///"))
    scratch = Path(tempfile.mkdtemp(prefix="import-", dir=folder))
    copy = big.with_name(f"{scratch.name}.db")  # beside the other, so that no run's artifacts have moved
    artifacts = big.with_name("mlruns")
    has_artifacts = artifacts.exists()
    try:
        shutil.copyfile(big, copy)
        took: dict[int, list[tuple[float, float]]] = {0: [], runs: []}
        for number in range(rounds):
            for size, file in ((0, scratch / f"empty-{number}.db"), (runs, copy)):
                spooled = scratch / f"spool-{number}-{size}"
                write_records(spooled, records, seed=1 + number)
                took[size].append(_import(spooled, file, records))
    finally:
        shutil.rmtree(scratch)
        for left in big.parent.glob(f"{copy.name}*"):
            left.unlink()
        if not has_artifacts:
            shutil.rmtree(artifacts, ignore_errors=True)
    return [
        {"runs": size, "records": records, "rounds": rounds, "wall_s": min(wall), "cpu_s": min(cpu)}
        for size, (wall, cpu) in ((size, zip(*pairs, strict=True)) for size, pairs in took.items())
    ]


def write_records(folder: Path, count: int, seed: int) -> None:
    """Writes records of sessions that no store has whose seed is another."""
    for each in measurements(count, 0, seed).sessions:
        found = each.record()
        record.write(found, folder / file_name(found))


def _import(spooled: Path, file: Path, records: int) -> tuple[float, float]:
    """Wall and CPU seconds of the command. Every record must be new to the store."""
    expected_text = f"{records} records imported, 0 already there"
    return _run("import", str(spooled), begins=expected_text, MLFLOW_TRACKING_URI=f"sqlite:///{file}")


def _run(*arguments: str, begins: str, **variables: str) -> tuple[float, float]:
    """Wall and CPU seconds of a command, whose output must begin with a text."""
    command = [sys.executable, "-m", "runner", *arguments]
    began = time.perf_counter()
    child = subprocess.Popen(command, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    if status or not said.startswith(begins):
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}: {said}")
    return seconds, used.ru_utime + used.ru_stime


def dry_run(cells: int) -> Row:
    """The dry run of a study of at least so many cells, with an empty spool: the least of DRY_RUNS."""
    contexts = range(1000, 1000 + -(-cells // 48))
    with tempfile.TemporaryDirectory(prefix="decode-floor-bench-") as folder:
        file = Path(folder, "many.yaml")
        file.write_text(CELLS.format(contexts=", ".join(map(str, contexts))), encoding="utf-8")
        count = 48 * len(contexts)
        arguments = ("study", "--dry-run", str(file), "--spool", str(Path(folder, "spool")))
        took = [_run(*arguments, begins=f"many: {count} cells: ") for _ in range(DRY_RUNS)]
    wall, cpu = zip(*took, strict=True)
    return {"cells": count, "wall_s": min(wall), "cpu_s": min(cpu)}


def report(folder: Path, given: argparse.Namespace) -> Row:
    """Everything that docs/scale.md shows of a study's costs."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return {
        "machine": f"{os.cpu_count()} cores, {machine}",
        "date": date.today().isoformat(),
        "load": os.getloadavg()[0],
        "sessions": session_rows(given.sessions),
        "dry_run": dry_run(given.cells),
        "imports": import_rows(folder, given.records, given.runs, given.rounds),
    }


def markdown(found: Row) -> str:
    """The report's tables."""
    lines = [f"{found['machine']}, {found['date']}; load {found['load']:.1f} when it began:", ""]
    lines += ["| to | part | first session (s) | later ones (s) |", "|---|---|---|---|"]
    for row in found["sessions"]:
        lines.append(f"| {row['to']} | {row['part']} | {row['first_s']:.3f} | {row['later_s']:.3f} |")
    lines += ["", "| runs in the store | records imported | rounds | time (s) | CPU (s) |", "|---|---|---|---|---|"]
    for row in found["imports"]:
        lines.append(
            f"| {row['runs']} | {row['records']} | {row['rounds']} | {row['wall_s']:.1f} | {row['cpu_s']:.1f} |"
        )
    planned = found["dry_run"]
    lines += [
        "",
        f"A dry run of {planned['cells']} cells took {planned['wall_s']:.2f} s ({planned['cpu_s']:.2f} s CPU).",
    ]
    return "\n".join(lines) + "\n"


def misses(found: Row) -> list[str]:
    """A line for each target that is missed."""
    over = [row for row in found["sessions"] if row["part"] == OVERHEAD and row["later_s"] > OVERHEAD_S]
    lines = [f"{row['to']}: {row['later_s']:.2f} s beside the worker, at most {OVERHEAD_S}" for row in over]
    if (dry_run_s := found["dry_run"]["wall_s"]) > DRY_RUN_S:
        lines.append(f"a dry run of {found['dry_run']['cells']} cells: {dry_run_s:.1f} s, at most {DRY_RUN_S}")
    for row in found["imports"]:
        if (limit_s := IMPORT_S * row["records"] / IMPORT_RECORDS) < row["wall_s"]:
            import_ = f"import of {row['records']} records to {row['runs']} runs"
            lines.append(f"{import_}: {row['wall_s']:.0f} s, at most {limit_s:.0f}")
    empty, large = (row["wall_s"] for row in found["imports"])
    if large > GROWTH * empty:
        lines.append(f"an import into the large store: {large / empty:.2f} times as long, at most {GROWTH}")
    return lines


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--sessions", type=int, default=5, help="beside the first")
    parser.add_argument("--records", type=int, default=IMPORT_RECORDS)
    parser.add_argument("--cells", type=int, default=10_000, help="of the dry run, at least")
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2, help="imports into each store, in turns")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--render", type=Path, nargs="*")
    given = parser.parse_args()
    if given.render:
        print("\n".join(markdown(json.loads(path.read_text(encoding="utf-8"))) for path in given.render), end="")
        return
    if given.folder is None:
        parser.error("name the folder of the stores")
    found = report(given.folder.resolve(), given)
    print(markdown(found), end="")
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if lines := misses(found):
        sys.exit("\n".join(["", *lines]))


if __name__ == "__main__":
    main()
